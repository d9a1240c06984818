"""Chunks of animated PNGs: what is refused, and what is kept of the first picture."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from upres.errors import InputError
from upres.images.animation import encode_animation
from upres.images.apng import chunks_of, joined, read_frames
from upres.images.io import Picture, encode_picture, read_picture

PICTURES = [Picture(np.full((6, 7, 3), number / 3, np.float32), texts=(("Author", "me"),)) for number in range(3)]


def decode(data: bytes) -> np.ndarray:
    return (read_picture(data).pixels * 255).round().astype(np.uint8)


def test_numbers_count_up_over_controls_and_data() -> None:
    data = joined([encode_picture(one, "png") for one in PICTURES], [10, 20, 30], 5)
    numbers = [struct.unpack(">I", content[:4])[0] for name, content in chunks_of(data) if name in (b"fcTL", b"fdAT")]
    assert numbers == list(range(len(numbers)))
    names = [name for name, _ in chunks_of(data)]
    assert names[:2] == [b"IHDR", b"acTL"]
    assert names[-1] == b"IEND"
    assert names.index(b"fcTL") < names.index(b"IDAT")
    assert read_picture(data).texts == (("Author", "me"),)  # readers that know no animation see the first frame


def test_frames_are_read_back() -> None:
    data = encode_animation(PICTURES, [10, 20, 30], 5, "png")
    frames, delays, plays = read_frames(data, decode, "it")
    assert (delays, plays) == ([10, 20, 30], 5)
    for frame, picture in zip(frames, PICTURES, strict=True):
        assert np.abs(frame / 255 - picture.pixels).max() < 0.002


def test_what_is_damaged_is_refused() -> None:
    data = encode_animation(PICTURES, [10, 20, 30], 5, "png")
    with pytest.raises(InputError, match="it has 2 of 3 frames: it is damaged or cut off"):
        last = data.rindex(b"fcTL") - 4
        read_frames(data[:last], decode, "it")
    at = data.index(b"fcTL") + 4 + 4
    beyond = data[:at] + struct.pack(">I", 70) + data[at + 4 :]
    with pytest.raises(InputError, match="it has a frame beyond its canvas"):
        read_frames(beyond, decode, "it")
