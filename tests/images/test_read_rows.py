"""Decoding from the top, against `read_picture`."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upres.errors import InputError
from upres.images.io import Picture, encode_picture, read_header, read_picture
from upres.images.read_rows import open_rows
from upres.images.said_colors import adobe_rgb

PIXELS = np.random.default_rng(0).random((150, 40, 3), dtype=np.float32)
PICTURES = {
    "png": (Picture(PIXELS, texts=(("Comment", "a text"),), dpi=(300.0, 300.0)), "png"),
    "gray": (Picture(PIXELS[:, :, :1], depth=16), "png"),
    "wide gamut": (Picture(PIXELS, depth=16, icc=adobe_rgb()), "tiff"),
    "jpeg": (Picture(PIXELS), "jpeg"),
    "webp": (Picture(PIXELS), "webp"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_rows_and_metadata_are_those_of_read_picture(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode_picture(*PICTURES[name]))
    whole, opened = read_picture(path), open_rows(path)
    rows = opened.rows()
    for top in range(0, 150, 50):
        np.testing.assert_array_equal(rows.read(top, top + 50), whole.pixels[top : top + 50])
    for known in dataclasses.fields(whole):
        if known.name != "pixels":
            assert getattr(opened.frame, known.name) == getattr(whole, known.name)
    assert opened.frame.pixels.shape == whole.pixels.shape
    assert opened.frame.pixels.strides == (0, 0, 0)


def cmyk(turn: int = 1) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = turn
    levels = (PIXELS * 255).astype(np.uint8)
    Image.fromarray(levels).convert("CMYK").save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def test_cmyk_is_converted_by_rows() -> None:
    whole, opened = read_picture(cmyk()), open_rows(cmyk())
    np.testing.assert_array_equal(opened.rows().read(0, 150), whole.pixels)
    assert opened.frame.notes == whole.notes


def test_the_highest_level_is_known() -> None:
    data = encode_picture(Picture((np.rint(PIXELS * 1023) / 65535).astype(np.float32), depth=16), "png")
    assert open_rows(data).highest == pytest.approx(float(read_picture(data).pixels.max()))


@pytest.mark.parametrize("data", [cmyk(turn=6), encode_picture(Picture(PIXELS, PIXELS[:, :, 0]), "png")])
def test_what_needs_the_whole_picture_says_so(data: bytes) -> None:
    assert not read_header(data).by_rows
    with pytest.raises(InputError, match="read it as a whole"):
        open_rows(data)


def test_a_cut_file_is_refused_before_its_rows_are_used() -> None:
    data = encode_picture(Picture(PIXELS), "png")
    with pytest.raises(InputError, match="damaged or truncated PNG"):
        open_rows(data[: len(data) // 2])


def test_too_many_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="more than the limit of 5,000"):
        open_rows(encode_picture(Picture(PIXELS), "png"), max_pixels=5000)


def test_a_file_that_changes_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_picture(Picture(PIXELS), "png"))
    opened = open_rows(path)
    path.write_bytes(encode_picture(Picture(PIXELS[:100]), "png"))
    with pytest.raises(InputError, match="changed while it was read"):
        opened.rows().read(0, 150)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_only_its_end_marker(progressive: bool) -> None:
    """As a whole and by rows; one that lacks more is refused."""
    file = io.BytesIO()
    noise = np.random.default_rng(9).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    Image.fromarray(noise).save(file, "JPEG", quality=90, progressive=progressive)
    data, note = file.getvalue(), "the file lacks its end marker, but the picture is complete"
    picture, rows = read_picture(data[:-2]), open_rows(data[:-2])
    np.testing.assert_array_equal(picture.pixels, read_picture(data).pixels)
    np.testing.assert_array_equal(rows.rows().read(0, 64), picture.pixels)
    assert picture.notes == rows.frame.notes == (note,)
    for cut in (12, 300):
        for read in (read_picture, open_rows):
            with pytest.raises(InputError, match="is a damaged or truncated JPEG"):
                read(data[:-cut])
