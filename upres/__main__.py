"""`python -m upres` and the command `upres`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with one of the exit codes of docs/exit-codes.md."""
    try:
        from upres.cli.main import COMPLETE_VARIABLE, PROGRAM, app, load_completion

        if COMPLETE_VARIABLE in os.environ:
            load_completion()
        app(prog_name=PROGRAM)  # by `python -m upres` too, in usage lines and for completion
    except KeyboardInterrupt:  # before or after a verb: while Python was still importing
        sys.exit(130)


if __name__ == "__main__":
    main()
