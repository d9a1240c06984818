"""What a verb's end means to the shell: the one place where an exception becomes words on stderr and an exit code.

Every verb of the command line has the same shape::

    def evaluate(..., debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False) -> None:
        def work() -> int | None:
            from upres.evaluation.evaluate import ...     # heavy imports here, so that `upres --help` stays light
            ...
        run_verb(work, debug)

`work` returns an exit code, or None for 0. The codes are those of docs/exit-codes.md:

    0 done; 1 a bug of ours; 2 usage; 3 some or all inputs failed; 4 model refused; 5 output cannot be written; 130 Ctrl-C
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import typer

from upres.cli.command import as_options
from upres.errors import UpresError
from upres.system.files import DISK_FULL

DONE, BUG, USAGE, INPUT_FAILED, MODEL_REFUSED, OUTPUT_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
DEBUG_HELP = "Show the traceback of an error."

_NOT_WRITABLE_ERRNOS = DISK_FULL | {errno.EROFS}

_debug_everywhere = False


def enable_debug() -> None:
    """Show tracebacks in every verb from now on: what `upres --debug VERB` asks for."""
    global _debug_everywhere
    _debug_everywhere = True


def debug_enabled() -> bool:
    """Whether `upres --debug` was given before the verb."""
    return _debug_everywhere


def say(text: str) -> None:
    """One message on stderr, in the words of the command line; stdout belongs to results."""
    print(as_options(text), file=sys.stderr, flush=True)


def exit_code_of(error: BaseException) -> int:
    """The exit code of docs/exit-codes.md that `error` stands for."""
    if isinstance(error, UpresError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, MemoryError):
        return INPUT_FAILED
    if isinstance(error, BrokenPipeError):
        return OUTPUT_FAILED
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE_ERRNOS:
        return OUTPUT_FAILED
    return BUG


def words_for(error: BaseException) -> str:
    """One message for the user: what happened, and the remedy where there is one."""
    if isinstance(error, UpresError):
        return f"upres: {error}"
    if isinstance(error, KeyboardInterrupt):
        return "upres: stopped by Ctrl-C"
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return f"upres: not enough free memory{detail}; close other programs, or ask for a smaller --tile or a smaller output"
    if isinstance(error, BrokenPipeError):
        return "upres: the program that reads the output closed the pipe"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE_ERRNOS:
        place = f" {error.filename}" if error.filename else ""
        return f"upres: the output{place} cannot be written: {error.strerror}; free some space, then run the same command again"
    return f"upres: a bug of upres: {type(error).__name__}: {error}; please report it with what the same command prints under --debug"


def verb_exit_code(work: Callable[[], int | None], debug: bool = False) -> int:
    """Run `work`; say on stderr what went wrong; return the exit code. Exits and usage errors of typer itself pass through."""
    try:
        return work() or DONE
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except (Exception, KeyboardInterrupt) as error:  # the outermost door: nothing may leave it as a traceback unless asked
        if debug or _debug_everywhere:
            traceback.print_exc()
        if isinstance(error, BrokenPipeError):
            _silence_stdout()
        say(words_for(error))
        return exit_code_of(error)


def run_verb(work: Callable[[], int | None], debug: bool = False) -> NoReturn:
    """Run the body of a verb and leave the process with its exit code (`SystemExit`, which typer lets through)."""
    sys.exit(verb_exit_code(work, debug))


def _silence_stdout() -> None:
    """Point stdout at nothing, so that the flush at interpreter exit cannot fail a second time (docs of Python's `signal`, SIGPIPE)."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # stdout is no real file (a test, an embedding program): nothing will be flushed to a pipe
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
