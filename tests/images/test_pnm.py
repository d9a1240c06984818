"""PNM against Pillow, and samples whose values are known."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from upres.images.pnm import read_pnm


def read(data: bytes) -> np.ndarray:
    return read_pnm(data, lambda *_: None)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_raw_pictures_as_pillow_reads_them(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3 if mode == "RGB" else 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze(), mode if mode == "L" else None).save(stream, "PPM")
    np.testing.assert_array_equal(read(stream.getvalue()), pixels)


def test_bits_of_a_drawing() -> None:
    bits = np.random.default_rng(1).random((5, 11)) > 0.5
    stream = io.BytesIO()
    Image.fromarray(bits).save(stream, "PPM")
    assert stream.getvalue().startswith(b"P4")
    np.testing.assert_array_equal(read(stream.getvalue())[:, :, 0] > 0, bits)


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (b"P2 # a comment\n3 1\n# more\n255\n0 128 255\n", [0, 128, 255]),
        (b"P1\n3 1\n1 0 1", [0, 255, 0]),
        (b"P1\n3 1\n101", [0, 255, 0]),
        (b"P5 2 1 15\n\x00\x0f", [0, 255]),
        (b"P5 2 1 65535\n\x01\x02\xff\xff", [258, 65535]),
        (b"P5 2 1 1023\n\x00\x00\x03\xff", [0, 65535]),
        (b"P7\nWIDTH 2\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n\x05\x07", [5, 7]),
    ],
)
def test_samples_on_their_full_range(data: bytes, levels: list[int]) -> None:
    found = read(data)
    assert found.ravel().tolist() == levels and found.dtype == (np.uint16 if max(levels) > 255 else np.uint8)


@pytest.mark.parametrize(
    "data",
    [b"P5", b"P5 2 x 255\n..", b"P5 2 2 255\n.", b"P2 2 1 9 1 10", b"P2 2 1 9 1", b"P5 0 1 255\n", b"P4 9 9\n",
     b"P5 1 1 70000\n..", b"P7\nWIDTH 2\n", b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 9\nMAXVAL 255\nENDHDR\n........."],
)  # fmt: skip
def test_damage_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read(data)
