"""TIFFs that end in zeros: told where zeros cannot be data."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import pyvips

from upres.images.ifd import read_directory
from upres.images.io import read_picture
from upres.images.tiff_tail import is_zeroed


def _tiff(compression: str, black: bool = False) -> bytes:
    levels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8) * (not black)
    image = pyvips.Image.new_from_memory(levels.tobytes(), 64, 64, 3, "uchar").copy(interpretation="srgb")
    return image.tiffsave_buffer(compression=compression)


def _with_zeroed_strip(data: bytes) -> bytes:
    page = read_directory(io.BytesIO(data))
    end = int(page.numbers(273)[-1] + page.numbers(279)[-1])
    return data[: end - 200] + bytes(200) + data[end:]


def test_the_zeroed_end_of_compressed_data_is_told() -> None:
    whole = _tiff("lzw")
    assert read_picture(whole).notes == ()
    assert any("parts of the picture may be missing" in note for note in read_picture(_with_zeroed_strip(whole)).notes)


@pytest.mark.parametrize("compression", ["none", "lzw", "packbits", "deflate"])
def test_black_pictures_are_whole(compression: str) -> None:
    assert read_picture(_tiff(compression, black=True)).notes == ()


def test_a_zeroed_value_at_the_end_is_told() -> None:
    whole = _tiff("none")
    page = read_directory(io.BytesIO(whole))
    at, value = max((entry.data_at, entry) for entry in page.entries.values() if len(entry.data) >= 8)[0], b""
    assert value == b""
    moved = whole + struct.pack("<II", 72, 1)  # the last resolution goes to the end of the file
    entry = next(entry for entry in page.entries.values() if entry.data_at == at and len(entry.data) == 8)
    moved = moved[: entry.at + 8] + struct.pack("<I", len(whole)) + moved[entry.at + 12 :]
    assert not is_zeroed(io.BytesIO(moved), len(moved))
    zeroed = moved[:-8] + bytes(8)
    assert is_zeroed(io.BytesIO(zeroed), len(zeroed))


def test_what_is_no_tiff_is_left_to_the_decoder() -> None:
    assert not is_zeroed(io.BytesIO(b"II*\0" + bytes(20)), 24)
