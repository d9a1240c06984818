"""Pictures are checked when they are made, and rounded in one place: to the nearest level, and never from NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from upres.errors import InputError, OutputError
from upres.images.io import Picture, encode_picture, quantize, read_picture


def test_quantize_rounds_to_the_nearest_level_and_clips() -> None:
    x = np.array([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0, np.inf, -np.inf], np.float32)
    assert quantize(x, 8).tolist() == [0, 0, 0, 1, 255, 255, 255, 0]
    assert quantize(x, 8).dtype == np.uint8
    for depth, top in ((8, 255), (16, 65535)):
        levels = np.arange(top + 1)
        np.testing.assert_array_equal(quantize((levels / top).astype(np.float32), depth), levels)
    x = np.random.default_rng(0).random((1500, 1001), dtype=np.float32)  # more than one block
    np.testing.assert_array_equal(quantize(x, 16), np.rint(x * np.float32(65535)).astype(np.uint16))
    assert quantize(np.zeros((0, 3), np.float32), 8).shape == (0, 3)
    with pytest.raises(OutputError, match="depth must be 8 or 16, got 12"):
        quantize(x, 12)
    with pytest.raises(OutputError, match="got NaN"):
        quantize(np.array([0.5, np.nan], np.float32), 8)


GOOD = np.full((4, 5, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pixels": GOOD.tolist()}, "`pixels` of a Picture must be a float32 array of shape h w 1 or h w 3, got list"),
        ({"pixels": GOOD.astype(np.float64)}, r"got an array of float64 of shape \(4, 5, 3\)"),
        ({"pixels": GOOD[:, :, 0]}, r"got an array of float32 of shape \(4, 5\)"),
        ({"pixels": np.zeros((4, 5, 2), np.float32)}, r"shape \(4, 5, 2\)"),
        ({"pixels": np.zeros((0, 5, 3), np.float32)}, r"shape \(0, 5, 3\)"),
        ({"pixels": None}, "got None"),
        ({"alpha": np.zeros((4, 5, 1), np.float32)}, "`alpha` of a Picture must be None or a float32 array of"),
        ({"alpha": np.zeros((5, 4), np.float32)}, r"height and width of its pixels, \(4, 5\), got \(5, 4\)"),
        ({"depth": 12}, "`depth` of a Picture must be 8 or 16, got 12"),
        ({"depth": 8.0}, "got 8.0"),
        ({"icc": "sRGB"}, "`icc` of a Picture must be None or bytes, got 'sRGB'"),
        ({"exif": bytearray(8)}, "`exif` of a Picture must be"),
        ({"xmp": "<x:xmpmeta/>"}, "`xmp` of a Picture must be"),
        ({"iptc": 7}, "`iptc` of a Picture must be"),
        ({"dpi": 300.0}, "`dpi` of a Picture must be None or two positive numbers"),
        ({"dpi": (300.0, float("nan"))}, "got .300.0, nan."),
        ({"dpi": (0, 300)}, "`dpi`"),
        ({"texts": (("a",),)}, "`texts` of a Picture must be a tuple of"),
        ({"texts": (("a", b"b"),)}, "`texts`"),
        ({"tiff_tags": None}, "`tiff_tags`"),
        ({"format": None}, "`format`"),
        ({"notes": ["a"]}, "`notes` of a Picture must be a tuple of strings"),
    ],
)
def test_a_picture_of_wrong_types_or_shapes_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Picture(**{"pixels": GOOD, **fields})


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "avif"])
def test_empty_metadata_is_none(format: str) -> None:
    picture = Picture(GOOD, icc=b"", exif=b"", xmp=b"", iptc=b"")
    assert (picture.icc, picture.exif, picture.xmp, picture.iptc) == (None,) * 4
    again = read_picture(encode_picture(picture, format))
    assert again.xmp is None
