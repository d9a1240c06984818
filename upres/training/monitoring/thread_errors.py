"""Errors of TensorBoard's thread: kept there, and raised when the next value is logged, so nothing to print as well."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def told_once() -> Generator[None]:
    """Within it, a thread that keeps its error as `exception` does not print it too."""
    before = threading.excepthook

    def tell(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None or getattr(failed.thread, "exception", None) is not failed.exc_value:
            before(failed)

    threading.excepthook = tell
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if getattr(thread, "exception", None) is not None:
                thread.join()  # until it has called `tell`
        threading.excepthook = before
