"""The priority of this process, and of its threads, among others."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_NICE = 10  # that of the command `nice`
_BELOW_NORMAL = 0x4000  # BELOW_NORMAL_PRIORITY_CLASS of the Windows API


def lower_priority() -> None:
    """Let other programs go first, from now on: this thread, those that it starts, and child processes.

    Call it before threads are started: Linux keeps a priority for each. A priority that is lower already stays.
    Raises `OSError`.
    """
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        if not kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL):
            raise OSError("SetPriorityClass failed")
        return
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICE, os.getpriority(os.PRIO_PROCESS, 0)))


@contextmanager
def no_real_time() -> Generator[None]:
    """Threads that a library has put into real-time scheduling by then are ordinary ones again when this ends.

    SVT-AV1, where it runs as root, does so with the thread that opens its first encoder; the threads and processes that
    this one starts inherit it, and a real-time thread is never interrupted for an ordinary one: the machine stands
    still while it computes. A thread that was in real-time scheduling before (`chrt`) stays there, and what it starts.
    """
    if sys.platform != "linux" or _is_real_time(0):
        yield
        return
    try:
        yield
    finally:
        for task in Path("/proc/self/task").iterdir():
            try:
                if _is_real_time(int(task.name)):
                    os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
            except ProcessLookupError:  # it has ended
                continue


def _is_real_time(task: int) -> bool:
    return os.sched_getscheduler(task) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)
