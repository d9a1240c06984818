"""Rows of a picture that are made or decoded as they are asked for, so that no picture is whole in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import BLOCK_ROWS, resize_axis, row_range

Array = NDArray[np.float32]


class Rows(Protocol):
    """Rows of a float32 picture `h w c`, read from the top."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        ...

    def read(self, top: int, bottom: int, keep: int | None = None) -> Array:
        """Rows `top` to `bottom` - 1, a view that the next call may change.

        keep: Rows before this one are not asked for again; `top` by default.
        """
        ...


class WholeRows:
    """Rows of an array."""

    def __init__(self, pixels: Array) -> None:
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width, channels = self._pixels.shape
        return height, width, channels

    def read(self, top: int, bottom: int, keep: int | None = None) -> Array:
        """See `Rows`."""
        return self._pixels[top:bottom]


class StreamedRows:
    """Rows of bands that are taken one by one; those that are not asked for again are dropped.

    shape: (h, w, c) of the picture.
    bands: Consecutive bands `h' w c` from the top. A band is copied before the next one is taken.
    """

    def __init__(self, shape: tuple[int, int, int], bands: Iterable[Array]) -> None:
        self._shape, self._bands = shape, iter(bands)
        self._buffer = np.empty((0, *shape[1:]), np.float32)
        self._first, self._count = 0, 0  # rows in the buffer

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._shape

    def read(self, top: int, bottom: int, keep: int | None = None) -> Array:
        """See `Rows`."""
        keep = top if keep is None else min(keep, top)
        if top < self._first:
            raise ValueError(f"row {top} was dropped; rows from {self._first} on are left")
        while self._first + self._count < bottom:
            self._append(next(self._bands), keep, bottom)
        return self._buffer[top - self._first : bottom - self._first]

    def _append(self, band: Array, keep: int, bottom: int) -> None:
        gone = min(max(0, keep - self._first), self._count)
        left = self._count - gone
        needed = max(left + len(band), bottom - self._first - gone)
        if len(self._buffer) < needed:
            larger = np.empty((needed, *self._shape[1:]), np.float32)
            larger[:left] = self._buffer[gone : self._count]
            self._buffer = larger
        elif gone:
            self._buffer[:left] = self._buffer[gone : self._count]
        self._buffer[left : left + len(band)] = band
        self._first, self._count = self._first + gone, left + len(band)


def resized_bands(source: Rows, size: tuple[int, int]) -> Iterator[Array]:
    """The bands of `imresize(whole, size=size)`, cubic and antialiased, equal to it to the bit."""
    height, width, channels = source.shape
    factors = (size[0] / height, size[1] / width)
    if factors[0] <= factors[1]:  # the order of `imresize`: the smaller factor first
        for band in _resized_rows(source, size[0], factors[0]):
            yield resize_axis(band, 1, size[1], factors[1])
        return

    def columns() -> Iterator[Array]:
        for top in range(0, height, BLOCK_ROWS):
            yield resize_axis(source.read(top, min(height, top + BLOCK_ROWS)), 1, size[1], factors[1])

    yield from _resized_rows(StreamedRows((height, size[1], channels), columns()), size[0], factors[0])


def _resized_rows(source: Rows, length: int, factor: float) -> Iterator[Array]:
    height = source.shape[0]
    blocks = [(start, min(length, start + BLOCK_ROWS)) for start in range(0, length, BLOCK_ROWS)]
    ranges = [row_range(height, length, factor, *block) for block in blocks]
    keeps = list(accumulate((low for low, _ in reversed(ranges)), min))[::-1]  # mirrored borders reach back
    for block, (low, high), keep in zip(blocks, ranges, keeps, strict=True):
        rows = source.read(low, high, keep)
        yield resize_axis(rows, 0, length, factor, height=height, rows=(*block, low))
