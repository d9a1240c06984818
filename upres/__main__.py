"""`python -m upres` and the command `upres`."""

from __future__ import annotations

import os
import sys

from upres.cli import process
from upres.cli.streams import make_ready
from upres.system.signals import end_at_once


def main() -> None:
    """Run the command line and leave with one of the exit codes of docs/exit-codes.md."""
    make_ready()
    end_at_once()  # while modules are imported, and after the verb
    from upres.cli.errors import exit_code_of, finish, say, words_for
    from upres.cli.main import COMPLETE_VARIABLE, PROGRAM, app_for, load_completion

    if COMPLETE_VARIABLE in os.environ:
        load_completion()
    stdout = sys.stdout
    try:
        verb = "" if COMPLETE_VARIABLE in os.environ else "".join(sys.argv[1:2])
        app_for(verb)(prog_name=PROGRAM)  # by `python -m upres` too, in usage lines and for completion
    except SystemExit as end:
        lost = sys.stdout is not stdout  # click replaces it, and ends with 1, once the reader of a help text has gone
        finish(exit_code_of(BrokenPipeError()) if lost else end.code if isinstance(end.code, int) else 0)
    except OSError as error:  # of a help text
        finish(exit_code_of(error))
    except KeyboardInterrupt as stop:  # a signal in the moment before the verb's own handler, or after it
        say(words_for(stop))
        finish(exit_code_of(stop))


def run() -> None:
    """The process of a command: `main`, and its end."""
    process.begin()
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, int):
            process.end(end.code)
        raise


if __name__ == "__main__":
    run()
