"""Turn exceptions into messages on stderr and exit codes, in one place.

Every command has the same shape::

    def evaluate(..., debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False) -> None:
        def work() -> int | None:
            from upres.evaluation.evaluate import ...     # heavy imports here, so that `upres --help` stays light
            ...
        run_verb(work, debug)

`work` returns an exit code, or None for 0. The codes are those of docs/exit-codes.md:

    0 success; 1 bug in upres; 2 usage; 3 some or all inputs failed; 4 model refused; 5 output cannot be written; 130
    Ctrl-C, 143 SIGTERM, 129 SIGHUP
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import typer

from upres.cli import process
from upres.cli.command import as_options
from upres.cli.streams import say_line, silence
from upres.errors import UpresError
from upres.system import signals
from upres.system.files import DISK_FULL

DONE, BUG, USAGE, INPUT_FAILED, MODEL_REFUSED, OUTPUT_FAILED = range(6)
DEBUG_HELP = "Show the traceback of an error."
ISOLATE_HELP = "Decode pictures in a process with limits, no network and no files: for pictures of strangers."

_NOT_WRITABLE_ERRNOS = DISK_FULL | {errno.EROFS, errno.EBADF}  # EBADF: standard output is closed

# A disk, or a network drive, that fails while it is read; a module that reads a file says so by its own error, with the
# name of the file.
_FAILING_ERRNOS = frozenset(
    getattr(errno, name)
    for name in ("EIO", "ENXIO", "ENODEV", "ESTALE", "EREMOTEIO", "ENOTCONN")
    if hasattr(errno, name)
)

_debug_everywhere = False


def enable_debug() -> None:
    """Show tracebacks in every command from now on, for `upres --debug COMMAND`."""
    global _debug_everywhere
    _debug_everywhere = True


def debug_enabled() -> bool:
    """Whether `--debug` was given before the command."""
    return _debug_everywhere


def say(text: str) -> None:
    """Print a message to stderr, with options in place of parameters; stdout is for results."""
    say_line(as_options(text))


def exit_code_of(error: BaseException) -> int:
    """The exit code for `error`; see docs/exit-codes.md."""
    if isinstance(error, UpresError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return signals.exit_code()
    if isinstance(error, MemoryError):
        return INPUT_FAILED
    if isinstance(error, BrokenPipeError):
        return OUTPUT_FAILED
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE_ERRNOS:
        return OUTPUT_FAILED
    if isinstance(error, OSError) and error.errno in _FAILING_ERRNOS:
        return INPUT_FAILED
    return BUG


def words_for(error: BaseException) -> str:
    """The message for the user: what happened and, if known, the remedy."""
    if isinstance(error, UpresError):
        return f"upres: {error}"
    if isinstance(error, KeyboardInterrupt):
        return f"upres: stopped by {signals.words()}"
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return (
            f"upres: not enough free memory{detail}; close other programs, or use a smaller --tile or a smaller output"
        )
    if isinstance(error, BrokenPipeError):
        return "upres: the program that reads the output closed the pipe"
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return "upres: cannot write the output: standard output is closed"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE_ERRNOS:
        place = f" {error.filename}" if error.filename else ""
        return (
            f"upres: cannot write the output{place}: {error.strerror}; free some space and run the same command again"
        )
    if isinstance(error, OSError) and error.errno in _FAILING_ERRNOS:
        place = f" {error.filename}" if error.filename else ""
        return f"upres: cannot read{place or ' a file'}: {error.strerror}; check the disk or the network drive"
    return f"upres: bug in upres: {type(error).__name__}: {error}; please report it with the output of --debug"


def verb_exit_code(work: Callable[[], int | None], debug: bool = False) -> int:
    """Run `work`, print errors to stderr and return the exit code. Exits and usage errors of typer pass through."""
    process.imported()
    with signals.as_interrupts():
        try:
            return work() or DONE
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except (Exception, KeyboardInterrupt) as error:  # the outermost handler: users see tracebacks only with --debug
            if debug or _debug_everywhere:
                traceback.print_exc()
            if isinstance(error, OSError):
                silence(sys.stdout)
            cause = KeyboardInterrupt() if signals.is_interrupt(error) else error
            say(words_for(cause))
            return exit_code_of(cause)


def run_verb(work: Callable[[], int | None], debug: bool = False, *, isolate: bool = False) -> NoReturn:
    """Run the body of a command and exit with its code (`SystemExit`, which typer lets through).

    isolate: Pictures are decoded in child processes meanwhile.
    """
    sys.exit(verb_exit_code(_isolated(work) if isolate else work, debug))


def _isolated(work: Callable[[], int | None]) -> Callable[[], int | None]:
    def isolated_work() -> int | None:
        from upres.images.isolation import isolated

        with isolated():
            return work()

    return isolated_work


def finish(code: int) -> NoReturn:
    """Leave with `code`, once standard output has taken all that was printed."""
    try:
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        say(words_for(error))
        code = exit_code_of(error)
    # Under `python -m`, CPython ends by SIGINT whatever the code if a KeyboardInterrupt ever struck in a text that was
    # executed, as those of dataclasses are, and was caught (`unhandled_keyboard_interrupt`); a new text clears it.
    exec("")
    sys.exit(code)
