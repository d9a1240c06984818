"""Preserve the thread's alternate signal stack while a library runs.

OpenVINO's CPU device sets its own (sigaltstack(2), for AMX) when a `Core` loads it, and restores the previous one when
the `Core` is freed. Two cores not freed in reverse order leave a dangling stack, and the next signal, such as Ctrl-C,
crashes the process. Seen with OpenVINO 2026.4.1.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """Linux's stack_t."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def own_signal_stack() -> Generator[None]:
    """Restore this thread's signal stack on exit. Has an effect on Linux only, where OpenVINO changes it."""
    if sys.platform != "linux":
        yield
        return
    system = ctypes.CDLL(None)
    before = _Stack()
    system.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        system.sigaltstack(ctypes.byref(before), None)
