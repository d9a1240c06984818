"""A thread's stack for signal handlers, kept as it was while a library works.

OpenVINO's CPU device, when a `Core` loads it, sets one of its own (sigaltstack(2), for processors with AMX), and puts back the one that it
found when the `Core` is freed. Two that are not freed in the reverse order leave a stack that is gone, and the next signal, a Ctrl-C, ends
the process with a segmentation fault. Seen with OpenVINO 2026.4.1.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """stack_t of Linux."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def own_signal_stack() -> Generator[None]:
    """What is set inside as this thread's signal stack is undone at the end. Does something on Linux only, where OpenVINO sets one."""
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
