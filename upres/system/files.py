"""Atomic writes: beside the target, flushed, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from upres.errors import OutputError

# EFBIG is a file size limit (ulimit -f), EDQUOT a quota: to the user, each is a full disk.
_NO_FLUSH = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF})
_unfinished: set[Path] = set()  # partial files of this process
DISK_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex digits. Raises OSError, which names the file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:  # of a read that fails, Python does not say in which file
        raise OSError(error.errno, error.strerror, str(path)) from error


def model_bytes(path: Path) -> int:
    """Bytes of a model file, with ncnn's weights beside it."""
    return sum(one.stat().st_size for one in {path, path.with_suffix(".bin")} if one.exists())


def partial_path(target: Path) -> Path:
    """The temporary name of `target`: hidden, unique, in the same folder (a rename cannot cross disks).

    It names this process and machine, for `sweep_partials`.
    """
    begin = os.fsencode(target.name)[:100].decode("utf-8", "ignore")  # names have 255 bytes at most
    return target.with_name(f".{begin}.{secrets.token_hex(4)}.{os.getpid()}-{_machine()}.partial")


@cache
def _machine() -> str:
    """Eight hex digits of this host, or container: a process is known by its number there only."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def sweep_partials(folder: Path) -> None:
    """Remove the partial files in `folder` of processes of this machine that have ended, as by SIGKILL."""
    if os.name != "posix":  # elsewhere a process cannot be asked for without harm
        return
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(f"-{_machine()}.partial")]
    except OSError:  # no folder yet, or not readable: writing will tell
        return
    for name in names:
        number = name.removesuffix(f"-{_machine()}.partial").rpartition(".")[2]
        if name.startswith(".") and number.isdecimal() and not _runs(int(number)):
            with suppress(OSError):
                (folder / name).unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user; not a number of a process
        pass
    return True


def commit_partial(partial: Path, target: Path) -> None:
    """Rename a finished, flushed file to its final name and flush the folder's entry."""
    partial.replace(target)
    flush_folder(target.parent)


def flush_folder(path: Path) -> None:
    """Flush the entries of a folder. Raises OSError."""
    if os.name == "posix":  # Windows has no handle of a folder to flush
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        except OSError as error:
            # CIFS, VirtualBox and some FUSE file systems flush no folders; the file itself is flushed and renamed.
            if error.errno not in _NO_FLUSH:
                raise
        finally:
            os.close(folder)


def output_error(target: Path, error: OSError) -> OutputError:
    """The error for a `target` that could not be written."""
    if error.errno in DISK_FULL:
        return OutputError(f"cannot write {target}: the disk is full. Free some space and run the same command again")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(f"cannot write {target}: the name is too long. Choose a shorter one, or rename the input")
    return OutputError(f"cannot write {target}: {error.strerror or error}. Choose a writable folder")


def write_atomic(target: Path, data: bytes | memoryview, *, secret: bool = False) -> None:
    """Write `data` to `target`, or leave it unchanged. Raises `OutputError` for a full disk or a missing permission.

    secret: Only the user may read it, from its first byte on.
    """
    with open_atomic(target, secret=secret) as file:
        file.write(data)


@contextmanager
def open_atomic(target: Path, *, secret: bool = False) -> Generator[BinaryIO]:
    """A file to read and write that becomes `target` at the end; after any exception `target` is unchanged.

    secret: Only the user may read it, from its first byte on.

    Raises `OutputError` for a full disk or a missing permission.
    """
    try:
        target = target.resolve()  # a link stays a link: its target is replaced
        partial = partial_path(target)
        _unfinished.add(partial)
        try:
            with open(partial, "x+b", opener=_open_secret if secret else None) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            commit_partial(partial, target)
        finally:
            partial.unlink(missing_ok=True)
            _unfinished.discard(partial)
    except OSError as error:
        raise output_error(target, error) from error


def _open_secret(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def discard_unfinished() -> None:
    """Remove the files that `open_atomic` has not finished. For a process that ends while threads still write them."""
    for partial in list(_unfinished):
        with suppress(OSError):  # another thread was faster, or the system keeps open files
            partial.unlink()
