"""Rows that are made as they are asked for, against whole arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from upres.images.resize import imresize
from upres.images.rows import Array, StreamedRows, WholeRows, resized_bands

RNG = np.random.default_rng(0)


def cut(pixels: Array, rows: int) -> Iterator[Array]:
    for top in range(0, len(pixels), rows):
        yield pixels[top : top + rows]


def test_rows_are_kept_as_long_as_they_are_needed() -> None:
    pixels = RNG.random((50, 7, 3), dtype=np.float32)
    rows = StreamedRows(pixels.shape, cut(pixels, 6))
    for top, bottom, keep in ((0, 4, None), (2, 20, None), (10, 30, 3), (3, 41, 3), (20, 50, 20)):
        np.testing.assert_array_equal(rows.read(top, bottom, keep), pixels[top:bottom])
    with pytest.raises(ValueError, match="row 0 was dropped; rows from 20 on are left"):
        rows.read(0, 10)


def test_a_band_may_be_reused_once_the_next_is_taken() -> None:
    pixels = RNG.random((20, 3, 1), dtype=np.float32)
    one = np.empty((5, 3, 1), np.float32)

    def bands() -> Iterator[Array]:
        for top in range(0, 20, 5):
            one[...] = pixels[top : top + 5]
            yield one

    np.testing.assert_array_equal(StreamedRows(pixels.shape, bands()).read(0, 20), pixels)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((300, 20), (750, 50)),
        ((300, 20), (100, 9)),
        ((300, 20), (301, 15)),
        ((130, 77), (130, 200)),
        ((130, 77), (200, 77)),
        ((1, 5), (7, 9)),
        ((3, 40), (1, 10)),
        ((64, 64), (64, 64)),
    ],
)
def test_a_resize_by_rows_equals_that_of_the_whole(before: tuple[int, int], after: tuple[int, int]) -> None:
    pixels = RNG.random((*before, 3), dtype=np.float32)
    expected = imresize(pixels, size=after)
    for source in (WholeRows(pixels), StreamedRows(pixels.shape, cut(pixels, 37))):
        bands = [band.copy() for band in resized_bands(source, after)]
        assert max(map(len, bands)) <= 64
        np.testing.assert_array_equal(np.concatenate(bands), expected)
