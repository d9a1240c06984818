"""One process at a time: a lock that is a file, given back when its holder ends, however it ends."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(lock: Path) -> Generator[None]:
    """Waits until no other process holds `lock`, a file that is made and stays. Raises OSError.

    Windows has no `flock`: there two processes go on at once, and what they do must bear it (a download's SHA-256 notices).
    """
    with lock.open("ab") as file:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
