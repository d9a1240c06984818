"""`python -m upres` and the command `upres`."""

from __future__ import annotations

import os

from upres.system.signals import end_at_once


def main() -> None:
    """Run the command line and leave with one of the exit codes of docs/exit-codes.md."""
    end_at_once()  # while modules are imported, and after the verb
    from upres.cli.main import COMPLETE_VARIABLE, PROGRAM, app, load_completion

    if COMPLETE_VARIABLE in os.environ:
        load_completion()
    app(prog_name=PROGRAM)  # by `python -m upres` too, in usage lines and for completion


if __name__ == "__main__":
    main()
