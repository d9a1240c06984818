"""Folders that one process at a time may use. A lock ends with its process, however that ends."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from upres.errors import UsageError
from upres.system.files import output_error


class FileGuard:
    """A lock file that this process holds until `release`, by any thread, which removes it.

    Raises:
        UsageError: Another process holds it; `refusal` is the message.
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path, refusal: str) -> None:
        from filelock import FileLock, Timeout

        self.path, self._lock = path, FileLock(path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise UsageError(refusal) from None
        except OSError as error:
            raise output_error(path, error) from error

    def release(self) -> None:
        """Let others use it. Does nothing the second time."""
        if self._lock.is_locked:
            with suppress(OSError):  # the folder is gone or no longer writable: nobody waits for it
                self.path.unlink()
            self._lock.release()


@contextmanager
def one_at_a_time(path: Path) -> Generator[None]:
    """Wait until no other process holds the lock file, and hold it. It stays, for others may wait for it.

    Raises `OutputError`.
    """
    from filelock import FileLock

    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock file. One that nobody holds is removed."""
    try:
        FileGuard(path, "").release()
    except UsageError:
        return True
    return False


@contextmanager
def only_user(folder: Path, refusal: str) -> Generator[None]:
    """Hold `folder`, created where it is missing, against other callers; raises as `FileGuard` does."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    guard = FileGuard(folder / ".upres.lock", refusal)
    try:
        yield
    finally:
        guard.release()
        if new:
            with suppress(OSError):  # it has content, as it should
                folder.rmdir()
