"""What is not read: no pictures, cut ones, bombs, folders, pipes."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images.test_read import FORMATS, noise, pillow, vips
from upres.errors import InputError
from upres.images.io import read_header, read_picture


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"this was a picture once\n", "seems to be text"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\1\0" + bytes(30), "Windows icon"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42isom", "video"),
        (bytes(range(64)), "has an unknown format"),
    ],
)
def test_what_is_not_a_picture_is_refused_by_name(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for read in (read_picture, read_header):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert words in str(caught.value)
        assert "expected one of PNG, JPEG, WebP, TIFF, AVIF, GIF" in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_file_cut_short_is_refused(form: str, part: float, tmp_path: Path) -> None:
    data = pillow(Image.fromarray(noise(200, 220)), form)
    path = tmp_path / "cut"
    path.write_bytes(data[: max(16, int(len(data) * part))])
    with pytest.raises(InputError, match="damaged or truncated") as caught:
        read_picture(path)
    assert str(path) in str(caught.value)
    assert "copy or download it again" in str(caught.value)


def test_a_flipped_bit_in_a_png_is_found() -> None:
    data = bytearray(pillow(Image.fromarray(noise(50, 50)), "PNG"))
    data[len(data) // 2] ^= 4
    with pytest.raises(InputError, match="damaged"):
        read_picture(bytes(data))


def test_altered_bytes_of_a_progressive_jpeg_are_told() -> None:
    image = Image.fromarray(noise(60, 80))
    for settings in ({}, {"progressive": True}):
        assert read_picture(pillow(image, "JPEG", **settings)).notes == ()
    data = pillow(image, "JPEG", progressive=True)
    told = 0
    for at in range(len(data) // 4, len(data) - 2, 37):
        try:
            notes = read_picture(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]).notes
        except InputError:
            continue
        told += any("parts of the picture may be damaged" in note and "check the result" in note for note in notes)
    assert told > 10  # a decoder cannot see every altered byte, but these it does


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is a pipe or a device, expected a file; use -"):
        read_header(tmp_path / "pipe.png")


def test_a_bomb_is_refused_by_its_header() -> None:
    data = png_of_size(50_000, 50_000, bytes(100_000))
    start = time.process_time()
    for read in (read_header, read_picture):
        with pytest.raises(InputError, match="claims 50,000 x 50,000 pixels in 177 bytes"):
            read(data)
    assert time.process_time() - start < 1.0
    with pytest.raises(InputError, match=r"more than the limit of 5; .*raise the limit \(max_pixels\)"):
        read_picture(pillow(Image.new("RGB", (3, 2)), "PNG"), max_pixels=5)
    assert read_picture(pillow(Image.new("RGB", (3, 2)), "PNG"), max_pixels=6).pixels.shape == (2, 3, 3)


def test_a_png_that_promises_more_rows_than_it_has_is_refused() -> None:
    with pytest.raises(InputError, match="damaged"):
        read_picture(png_of_size(100, 100, bytes(301 * 50)))


@pytest.mark.parametrize(
    ("dtype", "words"),
    [("float32", "32-bit floating point"), ("uint32", "32-bit integers"), ("int16", "signed integers")],
)
def test_samples_that_are_not_8_or_16_bits_are_refused(dtype: str, words: str) -> None:
    data = vips(np.ones((4, 4, 3), dtype), "multiband").tiffsave_buffer()
    for read in (read_picture, read_header):
        with pytest.raises(InputError, match=f"{words}, expected 8- or 16-bit integers"):
            read(data)


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(InputError, match="declares several bands as transparency"):
        read_picture(vips(np.zeros((4, 4, 6), np.uint8), "multiband").tiffsave_buffer())


def test_folders_missing_files_and_locked_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, expected a picture"):
        read_picture(tmp_path)
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        read_header(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"cannot read .*: Not a directory|does not exist"):
        (tmp_path / "file").touch()
        read_header(tmp_path / "file" / "a.png")


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root, which tests may run as, may read everything
    with pytest.raises(InputError, match=r"a\.png is not readable; change its permissions"):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize("source", [io.StringIO("text"), None, 7, np.zeros((4, 4, 3), np.uint8)])
def test_what_is_neither_a_path_nor_bytes_nor_a_binary_file_is_refused(source: object) -> None:
    with pytest.raises(InputError, match="expected a path, bytes or a file open in binary mode, got "):
        read_picture(source)  # type: ignore[arg-type]
