from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upres.errors import OutputError, UsageError
from upres.images.icc import Levels
from upres.images.io import Picture, encode_picture, write_picture
from upres.images.levels import levels_to_write
from upres.images.target_size import check_target_kb, encode_within
from upres.images.write_rows import write_rows

PICTURE = Picture(np.random.default_rng(2).random((120, 160, 3), dtype=np.float32), dpi=(300.0, 300.0))


@pytest.mark.parametrize("format", ["jpeg", "webp"])
def test_the_next_quality_would_be_too_large(format: str) -> None:
    data = encode_picture(PICTURE, format, target_kb=12)
    sizes = {quality: len(encode_picture(PICTURE, format, quality=quality)) for quality in range(1, 101)}
    best = max(quality for quality, size in sizes.items() if size <= 12_000)
    assert data == encode_picture(PICTURE, format, quality=best)
    assert best < 100 and sizes[best + 1] > 12_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (160, 120)


def test_the_quality_asked_is_the_highest_taken() -> None:
    assert encode_picture(PICTURE, "jpeg", quality=30, target_kb=900) == encode_picture(PICTURE, "jpeg", quality=30)


def test_what_cannot_be_reached_is_said_and_nothing_written(tmp_path: Path) -> None:
    smallest = -(-len(encode_picture(PICTURE, "jpeg", quality=1)) // 1000)
    target = tmp_path / "a.jpg"
    with pytest.raises(OutputError, match=f"takes {smallest} KB as jpeg of quality 1, more than `target_kb=1`"):
        write_picture(PICTURE, target, target_kb=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_a_format_without_a_quality_is_refused(format: str) -> None:
    with pytest.raises(UsageError, match=f"needs a format with a quality .*, got {format}"):
        encode_picture(PICTURE, format, target_kb=100)
    with pytest.raises(UsageError, match="at least 1, got 0"):
        check_target_kb(0, "jpeg")


def test_seven_qualities_are_tried_at_most() -> None:
    tried: list[int] = []

    def encode(quality: int) -> bytes:
        tried.append(quality)
        return bytes(quality * 1000)

    data, quality = encode_within(encode, 33, None, "jpeg")
    assert (len(data), quality) == (33_000, 33)
    assert len(tried) <= 7


def _bands(picture: Picture, format: str) -> Iterator[Levels]:
    for top in range(0, len(picture.pixels), 50):
        yield levels_to_write(replace(picture, pixels=picture.pixels[top : top + 50]), format)


def test_rows_give_the_same_file_and_leave_nothing_beside_it(tmp_path: Path) -> None:
    for format in ("jpeg", "webp"):
        target = tmp_path / f"a.{format}"
        write_rows(PICTURE, _bands(PICTURE, format), target, format, target_kb=12)
        assert target.read_bytes() == encode_picture(PICTURE, format, target_kb=12)
    with pytest.raises(OutputError, match="of quality 1"):
        write_rows(PICTURE, _bands(PICTURE, "jpeg"), tmp_path / "b.jpeg", "jpeg", target_kb=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpeg", "a.webp"]
