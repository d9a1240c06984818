"""Where pictures are written: paths, open files, full disks."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from tests.images.test_write import smooth
from upres.errors import InputError, OutputError
from upres.images.io import (
    Picture,
    encode_picture,
    read_header,
    read_picture,
    write_picture,
)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"what was there")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for target in (tmp_path / "new.png", old):
        with pytest.raises(OutputError, match="the disk is full"):
            write_picture(Picture(smooth(4, 4, 3, 8)), target)
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_bytes() == b"what was there"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*a\.png: No such file"):
        write_picture(Picture(smooth(4, 4, 3, 8)), tmp_path / "none" / "a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name, what in (("folder.png", "a folder"), ("pipe.png", "a pipe or a device")):
        with pytest.raises(OutputError, match=f"{name}: it is {what}, expected a file name"):
            write_picture(Picture(smooth(4, 5, 3, 8)), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "pipe.png"]
    assert not (tmp_path / "pipe.png").is_file()


def test_paths_are_text_as_well(tmp_path: Path) -> None:
    picture = Picture(np.full((3, 4, 3), 0.2, np.float32))
    write_picture(picture, str(tmp_path / "a.png"))
    again = read_picture(str(tmp_path / "a.png"))
    np.testing.assert_array_equal(again.pixels, read_picture(tmp_path / "a.png").pixels)
    assert read_header(str(tmp_path / "a.png")).width == 4
    with pytest.raises(InputError, match=r"none\.png"):
        read_picture(str(tmp_path / "none.png"))


def test_a_picture_is_written_to_an_open_file(tmp_path: Path) -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    memory = io.BytesIO()
    write_picture(picture, memory, format="png")
    assert memory.getvalue() == encode_picture(picture, "png")
    with (tmp_path / "raw").open("wb", buffering=0) as raw:
        write_picture(picture, raw, format="jpeg", quality=80)
    assert (tmp_path / "raw").read_bytes() == encode_picture(picture, "jpeg", quality=80)


def test_an_open_file_that_cannot_take_it_is_refused() -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    with pytest.raises(OutputError, match="format is needed to write to an open file; expected one of png, jpeg"):
        write_picture(picture, io.BytesIO())
    for wrong in (io.StringIO(), b"name.png", None):
        with pytest.raises(OutputError, match="expected a path or a file open in binary mode, got "):
            write_picture(picture, wrong, format="png")  # type: ignore[arg-type]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_open_file_on_a_full_disk_is_told() -> None:
    picture = Picture(np.full((4, 5, 3), 0.5, np.float32))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OutputError, match="the disk is full"):
        write_picture(picture, full, format="png")
