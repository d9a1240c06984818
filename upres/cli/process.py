"""The process of a command: it starts without what costs time before the first picture, and ends without taking itself
apart (docs/log.md, 2026-12-01: 0.2 of 0.7 s of CPU for a small picture).
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import NoReturn

_SPINNING = "OPENBLAS_THREAD_TIMEOUT"  # logarithm of the cycles that an idle thread of numpy's OpenBLAS spins; 26


_begun = False


def begin() -> None:
    """Call first: numpy's threads sleep when they have nothing to do, instead of spinning for 0.1 s as soon as it is
    imported, and modules are imported without looking for garbage among what they make.
    """
    global _begun
    _begun = True
    os.environ.setdefault(_SPINNING, "4")
    gc.disable()


def imported() -> None:
    """Garbage is looked for from now on, but not among what was made until now."""
    if _begun:
        gc.freeze()
        gc.enable()


@contextmanager
def importing() -> Generator[None]:
    """Within it, nothing looks for garbage."""
    if _begun:
        gc.disable()
    try:
        yield
    finally:
        imported()


def end(code: int) -> NoReturn:
    """End the process with `code`: exit functions run, and the system takes back all memory at once, which Python would
    free object by object (85 ms). Where a thread, a debugger or a profiler still needs the interpreter, it ends as
    usual.
    """
    others = any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    watched = sys.gettrace() is not None or sys.getprofile() is not None or sys.flags.inspect
    if others or watched:
        sys.exit(code)
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # what an ordinary end would run
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # standard output was flushed, and any fault of it told
            stream.flush()
    os._exit(code)
