"""Libraries that do not survive a fork: a forked child that would use one is told so, instead of waiting forever."""

from __future__ import annotations

import os

from upres.errors import ForkedError


class ForkGuard:
    """Remembers the process in which a library started its threads, which a forked child inherits only as a list.

    words: the end of the refusal, after "process 2 was forked from 1 after": the use of the library, and the remedy.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._user_pid: int | None = None

    def enter(self) -> None:
        """Call before each use. Raises `ForkedError` if this process was forked after the first one."""
        if self._user_pid is None:
            self._user_pid = os.getpid()
        elif self._user_pid != os.getpid():
            raise ForkedError(f"process {os.getpid()} was forked from {self._user_pid} after {self._words}")
