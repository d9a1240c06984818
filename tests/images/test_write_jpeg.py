"""A JPEG that was made from a JPEG: its quality and chroma, as Pillow reads them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from upres.images.io import JpegCoding, Picture, encode_picture, read_picture, with_chroma, writing_notes

PIXELS = np.random.default_rng(1).integers(0, 256, (32, 48, 3)).astype(np.uint8)


def jpeg(quality: int, sampling: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(file, "JPEG", quality=quality, subsampling=sampling)
    return file.getvalue()


def coding_of(data: bytes) -> tuple[list[int], int]:
    """(luma table, Pillow's number of the sampling: 0 is 4:4:4, 2 is 4:2:0)."""
    with Image.open(io.BytesIO(data)) as image:
        return image.quantization[0], JpegImagePlugin.get_sampling(image)  # type: ignore[attr-defined]


@pytest.mark.parametrize("quality", [30, 75, 88, 95, 100])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:0"])
def test_a_jpeg_is_written_as_its_source(quality: int, sampling: str) -> None:
    data = jpeg(quality, sampling)
    picture = read_picture(data)
    assert picture.jpeg == JpegCoding(quality, sampling == "4:2:0")
    assert coding_of(encode_picture(picture, "jpeg")) == coding_of(data)


def test_half_the_columns_alone_become_full_chroma() -> None:
    assert coding_of(encode_picture(read_picture(jpeg(90, "4:2:2")), "jpeg"))[1] == 0


def test_gray_follows_too() -> None:
    data = jpeg(70, "4:4:4", "L")
    assert coding_of(encode_picture(read_picture(data), "jpeg"))[0] == coding_of(data)[0]


def test_what_is_asked_goes_before() -> None:
    picture = read_picture(jpeg(40, "4:2:0"))
    assert coding_of(encode_picture(picture, "jpeg", quality=90)) == coding_of(jpeg(90, "4:2:0"))
    assert coding_of(encode_picture(with_chroma(picture, "444"), "jpeg")) == coding_of(jpeg(40, "4:4:4"))
    assert with_chroma(picture, None) is picture


def test_other_sources_give_quality_95_with_full_chroma() -> None:
    pixels: NDArray[np.float32] = (PIXELS / 255.0).astype(np.float32)
    assert coding_of(encode_picture(Picture(pixels), "jpeg")) == coding_of(jpeg(95, "4:4:4"))
    assert coding_of(encode_picture(with_chroma(Picture(pixels), "420"), "jpeg")) == coding_of(jpeg(95, "4:2:0"))


def test_a_quality_that_shows_blocks_is_told_unless_it_was_asked() -> None:
    picture = read_picture(jpeg(40, "4:2:0"))
    assert writing_notes(picture, "jpeg") == ("written with quality 40, as the source; `quality=90` shows no blocks",)
    assert writing_notes(picture, "jpeg", 40) == writing_notes(picture, "png") == ()
    assert writing_notes(replace(picture, jpeg=JpegCoding(75, True)), "jpeg") == ()
