"""What a fork leaves of an engine: nothing that runs."""

from __future__ import annotations

import os

from upres.errors import ForkedError

_user_pid: int | None = None  # the process in which an engine was opened first


def begin_engine() -> None:
    """Call before an engine is opened, and before it runs.

    A forked child inherits what OpenMP and the drivers of GPUs know of their threads, but not the threads, and would wait for them forever.
    Raises `ForkedError` where an engine was opened in the parent before this process was forked.
    """
    global _user_pid
    if _user_pid is None:
        _user_pid = os.getpid()
    elif _user_pid != os.getpid():
        raise ForkedError(
            f"process {os.getpid()} was forked from {_user_pid} after that one had opened an engine, and engines do not survive a fork: "
            "start workers with multiprocessing's 'forkserver' or 'spawn', or open the first Upscaler in the workers"
        )
