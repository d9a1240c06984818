"""Atomic writes: beside the target, flushed, renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from pathlib import Path

from upres.errors import OutputError

# EFBIG is a file size limit (ulimit -f), EDQUOT a quota: to the user, each is a full disk.
DISK_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_bytes(path: Path) -> int:
    """Bytes of a model file, with ncnn's weights beside it."""
    return sum(one.stat().st_size for one in {path, path.with_suffix(".bin")} if one.exists())


def partial_path(target: Path) -> Path:
    """The temporary name of `target`: hidden, unique, in the same folder (a rename cannot cross disks)."""
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.partial")


def commit_partial(partial: Path, target: Path) -> None:
    """Rename a finished, flushed file to its final name and flush the folder's entry."""
    partial.replace(target)
    if os.name == "posix":  # Windows has no handle of a folder to flush
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def output_error(target: Path, error: OSError) -> OutputError:
    """The error for a `target` that could not be written."""
    if error.errno in DISK_FULL:
        return OutputError(f"cannot write {target}: the disk is full. Free some space and run the same command again")
    return OutputError(f"cannot write {target}: {error.strerror or error}. Choose a writable folder")


def write_atomic(target: Path, data: bytes | memoryview) -> None:
    """Write `data` to `target`, or leave it unchanged. Raises `OutputError` for a full disk or a missing permission."""
    target = target.resolve()  # a link stays a link: its target is replaced
    partial = partial_path(target)
    try:
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            commit_partial(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(target, error) from error
