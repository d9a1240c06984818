"""The priority of this process among others."""

from __future__ import annotations

import os
import sys

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
