"""Engines do not survive a fork: a forked child that would use one is told so."""

from __future__ import annotations

import os

from upres.errors import ForkedError

_user_pid: int | None = None  # the process in which an engine was opened first


def begin_engine() -> None:
    """Call before an engine is opened, and before it runs.

    A forked child inherits the thread pools of OpenMP and GPU drivers without their threads, and would wait forever.
    Raises `ForkedError` if this process was forked after its parent had opened an engine.
    """
    global _user_pid
    if _user_pid is None:
        _user_pid = os.getpid()
    elif _user_pid != os.getpid():
        raise ForkedError(
            f"process {os.getpid()} was forked from {_user_pid} after it had opened an engine, which does not survive a fork: "
            "start workers with multiprocessing's 'forkserver' or 'spawn', or open the first Upscaler in the workers"
        )
