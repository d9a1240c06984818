"""Standard output and error that are closed, full, or a pipe whose reader has gone."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO, cast

from upres.system.text import printable


def make_ready() -> None:
    """Call first: a closed stream gets a descriptor, whose place the next file opened would take.

    What is written to a closed standard output fails, as to a full disk; what is told to a closed standard error is
    lost.
    """
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # the system gives the lowest number that is free
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # Python, for a closed stream
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    with suppress(AttributeError):  # a stream of a test
        # For the paths of files, which other programs read: their bytes need not be UTF-8.
        whole = sys.stdout.encoding.lower() in ("utf-8", "utf8")
        sys.stdout.reconfigure(errors="surrogateescape" if whole else "backslashreplace")  # pyright: ignore


def say_line(text: str) -> None:
    """Print a line to standard error, which may be full: what fails must not be the work that it tells of."""
    try:
        print(printable(text), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def put(text: str, end: str = "\n") -> None:
    """Print a result for people to standard output, names in it made harmless. Raises OSError."""
    print(printable(text), end=end, flush=True)


def show(text: str) -> None:
    """Show `text` on standard error in place of what was shown before; "" clears it. Only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{printable(text):<60}\r", end="", file=sys.stderr, flush=True)


def silence(stream: object) -> None:
    """Redirect a stream to nothing, so that the flush at exit cannot fail again (Python's `signal` docs, SIGPIPE)."""
    try:
        descriptor = cast(TextIO, stream).fileno()
    except (AttributeError, OSError, ValueError):  # not a real file (tests, embedding): nothing to flush
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)
