"""Encoding from the top, against `encode_picture`: the files are equal to the byte."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upres.errors import OutputError
from upres.images.icc import Levels
from upres.images.io import Picture, encode_picture, read_picture
from upres.images.levels import levels_to_write
from upres.images.said_colors import adobe_rgb
from upres.images.write_rows import write_rows
from upres.system.files import open_atomic

RNG = np.random.default_rng(0)
PIXELS, ALPHA = RNG.random((83, 57, 3), dtype=np.float32), RNG.random((83, 57), dtype=np.float32)
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/></x:xmpmeta>"


def bands(picture: Picture, format: str, rows: int = 25) -> Iterator[Levels]:
    for top in range(0, len(picture.pixels), rows):
        alpha = None if picture.alpha is None else picture.alpha[top : top + rows]
        yield levels_to_write(replace(picture, pixels=picture.pixels[top : top + rows], alpha=alpha), format)


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff", "webp", "avif"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("alpha", [None, ALPHA])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_is_that_of_encode_picture(format: str, depth: int, alpha: Any, channels: int, tmp_path: Path) -> None:
    icc = adobe_rgb() if channels == 3 else None
    picture = Picture(
        PIXELS[:, :, :channels], alpha, depth, icc, xmp=XMP, dpi=(300.0, 200.0), texts=(("Comment", "a text"),)
    )
    zeros = np.broadcast_to(np.float32(0), picture.pixels.shape)
    frame = replace(picture, pixels=zeros, alpha=None if alpha is None else zeros[:, :, 0])
    target = tmp_path / "a"
    write_rows(frame, bands(picture, format), target, format)
    assert target.read_bytes() == encode_picture(picture, format)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff", "webp"])
def test_an_error_of_the_bands_leaves_nothing(format: str, tmp_path: Path) -> None:
    picture = Picture(PIXELS)

    def broken() -> Iterator[Levels]:
        yield next(bands(picture, format))
        raise RuntimeError("the network failed")

    with pytest.raises(RuntimeError, match="the network failed"):
        write_rows(picture, broken(), tmp_path / "a", format)
    assert not list(tmp_path.iterdir())


def test_too_few_bands_are_an_error(tmp_path: Path) -> None:
    picture = Picture(PIXELS)
    with pytest.raises(OutputError, match="the encoder got 50 of 83 rows"):
        write_rows(picture, list(bands(picture, "png"))[:2], tmp_path / "a.png", "png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["png", "jpeg", "tiff", "webp"])
def test_a_full_disk_is_told(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A file on a disk that has room for ten bytes."""

        def __init__(self, file: Any) -> None:
            self._file, self._left = file, 10

        def write(self, data: Any) -> int:
            self._left -= len(data)
            if self._left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self._file.write(data))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    class Opened:
        def __init__(self, target: Path) -> None:
            self._opened = open_atomic(target)

        def __enter__(self) -> Any:
            return Full(self._opened.__enter__())

        def __exit__(self, *error: Any) -> Any:
            return self._opened.__exit__(*error)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("upres.images.write_rows.open_atomic", Opened)
    if format == "webp":  # whose levels are kept in a file before they are encoded
        monkeypatch.setattr("upres.images.write_rows.RawTiff.bytes_of", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_rows(Picture(PIXELS), bands(Picture(PIXELS), format), tmp_path / "a", format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["webp", "avif"])
def test_flat_colors_lose_nothing_by_rows(tmp_path: Path, format: str) -> None:
    flat = np.random.default_rng(5).integers(0, 256, (6, 9, 3)).repeat(16, axis=0).repeat(16, axis=1)
    picture = Picture((flat / 255).astype(np.float32))
    write_rows(picture, bands(picture, format), tmp_path / "a", format)
    np.testing.assert_array_equal(np.rint(read_picture(tmp_path / "a").pixels * 255), flat)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder, expected a file name"):
        write_rows(Picture(PIXELS), iter(()), tmp_path, "png")
