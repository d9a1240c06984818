"""Nothing is ever half there: full disks, missing permissions, links."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from upres.errors import OutputError
from upres.system.files import (
    discard_unfinished,
    open_atomic,
    partial_path,
    sha256_of,
    sweep_partials,
    write_atomic,
)


def test_writes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write_atomic(target, b"one")
    write_atomic(target, b"two")
    assert target.read_bytes() == b"two" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        write_atomic(target, b"new")
    assert target.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        write_atomic(tmp_path / "nowhere" / "a.bin", b"x")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomic(tmp_path / "file" / "a.bin", b"x")


def test_a_link_remains_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_atomic(link, b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"


def test_long_names_fit(tmp_path: Path) -> None:
    name = "n" * 250 + ".png"
    write_atomic(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a process cannot be asked for without harm")
def test_partial_files_of_dead_processes_are_swept_and_those_of_others_are_not(tmp_path: Path) -> None:
    mine = partial_path(tmp_path / "a.png")
    number, machine = mine.name.removesuffix(".partial").rsplit(".", 1)[1].split("-")
    assert int(number) == os.getpid()
    stale = tmp_path / f".a.png.0123abcd.{dead_process()}-{machine}.partial"
    elsewhere = tmp_path / f".a.png.0123abcd.{dead_process()}-00000000.partial"
    older, model = tmp_path / ".a.png.0123abcd.partial", tmp_path / "net.pth.partial"
    for path in (mine, stale, elsewhere, older, model):
        path.touch()
    sweep_partials(tmp_path)
    assert set(tmp_path.iterdir()) == {mine, elsewhere, older, model}
    sweep_partials(tmp_path / "missing")


def test_a_long_name_has_room_for_its_partial(tmp_path: Path) -> None:
    target = tmp_path / ("海" * 80 + ".png")
    write_atomic(target, b"data")
    assert target.read_bytes() == b"data"
    assert len(os.fsencode(partial_path(target).name)) < 160


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_flushes_no_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """CIFS and VirtualBox answer so."""
    flush = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write_atomic(tmp_path / "a.bin", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the name is too long\. Choose a shorter one"):
        write_atomic(tmp_path / ("n" * 300), b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "a.bin"
    path.write_bytes(b"1")
    monkeypatch.setattr("hashlib.file_digest", failing)
    with pytest.raises(OSError, match=r"Input/output error: '.*a\.bin'$"):
        sha256_of(path)
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        sha256_of(tmp_path / "none.bin")


def test_unfinished_files_can_be_discarded(tmp_path: Path) -> None:
    with pytest.raises(OutputError), open_atomic(tmp_path / "a") as file:
        file.write(b"half")
        assert len(list(tmp_path.iterdir())) == 1
        discard_unfinished()
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_secret_is_readable_by_its_user_only_from_its_first_byte_on(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with open_atomic(tmp_path / "key", secret=True) as file:
            (partial,) = tmp_path.iterdir()
            assert partial.stat().st_mode & 0o777 == 0o600
            file.write(b"secret")
        write_atomic(tmp_path / "plain", b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "plain").stat().st_mode & 0o777 == 0o666
