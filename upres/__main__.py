"""`python -m upres` and the command `upres`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with one of the exit codes of docs/exit-codes.md."""
    try:
        from upres.cli.main import app

        app()
    except KeyboardInterrupt:  # before or after a verb: while Python was still importing
        sys.exit(130)


if __name__ == "__main__":
    main()
