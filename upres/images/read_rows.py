"""Decode a picture from the top, a band of rows at a time, for pictures that are too large to be whole in memory."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from upres.errors import InputError
from upres.images.adjust import adjusted
from upres.images.icc import Levels, region_of
from upres.images.isolation import isolatable, isolatable_each
from upres.images.picture import Header, Picture
from upres.images.read import LOADERS, OpenPicture, with_end
from upres.images.room import check_room
from upres.images.rows import Array, StreamedRows
from upres.images.source import with_end_marker
from upres.images.vips import VipsError, attempt, attempt_once, begin_pixels, load
from upres.images.whole import changed, doubtful

_BAND_ROWS = 64


@dataclass(frozen=True, slots=True)
class Scanned:
    """What is known of a picture once it was decoded to its end.

    Args:
        first: Its first row, with all metadata.
        header: Size, channels, depth and format.
        highest: The highest value of its pixels.
        fail_on: What its decoder must fail on to read it: "warning" or "error".
        ended: Whether the file lacks its end marker, which is added.
    """

    first: Picture
    header: Header
    highest: float
    fail_on: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Pieces:
    """Places of a picture: rectangles of one size (h, w), which begin at `tops` and `lefts`."""

    tops: Sequence[int]
    lefts: Sequence[int]
    size: tuple[int, int]


class PictureRows:
    """A picture file whose rows are decoded when they are asked for; see `open_rows`.

    Args:
        source: As for `open_rows`.
        max_pixels: As for `open_rows`.
        scanned: What is known of it.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes, max_pixels: int, scanned: Scanned) -> None:
        self._source = source
        self._again: dict[str, Any] = {"max_pixels": max_pixels, "fail_on": scanned.fail_on, "ended": scanned.ended}
        self.highest, self.header = scanned.highest, scanned.header
        shape = (self.header.height, self.header.width, scanned.first.pixels.shape[2])
        self.frame = replace(scanned.first, pixels=np.broadcast_to(np.float32(0.0), shape))
        """The picture without its pixels: they are zeros that take no memory."""

    def rows(self, change: Callable[[Array], Array] | None = None) -> StreamedRows:
        """The pixels, float32 `h w c`, from the top. Each call decodes the file again.

        Args:
            change: Applied to each band.

        Raises:
            InputError: While rows are read, if the file was changed since it was opened.
        """
        shape = self.frame.pixels.shape
        bands = _to_the_end(each_band(self._source, shape=shape, **self._again), shape[0])
        return StreamedRows((shape[0], shape[1], shape[2]), bands if change is None else map(change, bands))

    def pieces(self, *wanted: Pieces) -> tuple[Array, ...]:
        """The pixels at some places, float32 `n h w c` for each of `wanted`. The file is decoded once more for all of
        them, and nothing else of it is in memory. Raises as `rows` does.
        """
        said = [(list(map(int, one.tops)), list(map(int, one.lefts)), one.size) for one in wanted]
        return take_pieces(self._source, shape=self.frame.pixels.shape, wanted=said, **self._again)


def open_rows(source: str | os.PathLike[str] | bytes, *, max_pixels: int = 1_000_000_000) -> PictureRows:
    """Open a picture whose header says `by_rows`. It is decoded once to its end, so that damage is known at once.

    Args:
        source: A path, or the bytes of a file.
        max_pixels: Maximum height x width.

    Raises:
        InputError: As `read_picture` does; also if rows of this picture cannot be decoded one after the other.
    """
    return PictureRows(source, max_pixels, scan(source, max_pixels=max_pixels))


@isolatable(Scanned)
def scan(source: str | os.PathLike[str] | bytes, *, max_pixels: int) -> Scanned:
    """Decode a picture to its end. Raises as `open_rows` does."""
    opened = OpenPicture(source, max_pixels)
    name, found = opened.found.name, opened.found
    if not opened.header.by_rows:
        raise InputError(f"{name} is turned, or has transparency or a color profile of tables: read it as a whole")
    check_room(name, opened.header, by_rows=True)
    notes = opened.notes
    fail_on = "warning"
    try:
        highest, first = attempt(lambda: _scan(opened, "warning"))
    except VipsError as doubt:
        fail_on = "error"
        try:
            highest, first = attempt(lambda: _scan(opened, "error"))
        except VipsError as error:
            highest, first = with_end(opened, error, lambda: attempt(lambda: _scan(opened, "warning")))
            fail_on = "warning"
        else:
            notes.append(doubtful(doubt))
    ended = opened.found is not found
    return Scanned(opened.picture(first, notes), opened.header, highest, fail_on, ended)


@isolatable_each(np.ndarray)
def each_band(
    source: str | os.PathLike[str] | bytes,
    *,
    max_pixels: int,
    fail_on: str,
    ended: bool,
    shape: Sequence[int],
) -> Iterator[Array]:
    """The pixels of a picture that was scanned and had `shape` (h, w, c): float32, band by band."""
    opened = _opened_again(source, max_pixels, ended, shape)
    for levels in _levels_of(opened, fail_on):
        yield opened.picture(levels, []).pixels


@isolatable(tuple)
def take_pieces(
    source: str | os.PathLike[str] | bytes,
    *,
    max_pixels: int,
    fail_on: str,
    ended: bool,
    shape: Sequence[int],
    wanted: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]],
) -> tuple[Array, ...]:
    """As `PictureRows.pieces`."""
    opened = _opened_again(source, max_pixels, ended, shape)
    taken: list[list[list[Levels]]] = [[[] for _ in tops] for tops, _, _ in wanted]
    top = 0
    for levels in _levels_of(opened, fail_on):
        bottom = top + len(levels)
        for (tops, lefts, (height, width)), parts in zip(wanted, taken, strict=True):
            for first, left, part in zip(tops, lefts, parts, strict=True):
                if first < bottom and first + height > top:
                    rows = slice(max(0, first - top), first + height - top)
                    part.append(np.array(levels[rows, left : left + width]))
        top = bottom
    found: list[Array] = []
    for (tops, _, (height, width)), parts in zip(wanted, taken, strict=True):
        # One below the other, for one conversion of all.
        pixels = opened.picture(np.concatenate([one for part in parts for one in part]), []).pixels
        found.append(pixels.reshape(len(tops), height, width, pixels.shape[2]))
    return tuple(found)


def _to_the_end(bands: Iterator[Array], height: int) -> Iterator[Array]:
    """The same bands; the iterator is at its end when the last of them is given, and holds nothing any more."""
    bottom = 0
    for band in bands:
        bottom += len(band)
        if bottom >= height:
            next(bands, None)
        yield band


def _opened_again(
    source: str | os.PathLike[str] | bytes, max_pixels: int, ended: bool, shape: Sequence[int]
) -> OpenPicture:
    opened = OpenPicture(source, max_pixels)
    if not opened.header.by_rows or (opened.header.height, opened.header.width) != (shape[0], shape[1]):
        raise changed(opened.found.name)
    if ended:
        opened.found = with_end_marker(opened.found)
    return opened


def _levels_of(opened: OpenPicture, fail_on: str) -> Iterator[Levels]:
    try:
        yield from _bands_of(opened, fail_on)
    except VipsError as error:
        raise InputError(f"{changed(opened.found.name)} ({error})") from error


def _scan(opened: OpenPicture, fail_on: str) -> tuple[float, Levels]:
    """The highest value of any pixel, and the first row."""
    highest, first = 0.0, None
    for levels in _bands_of(opened, fail_on):
        first = levels[:1] if first is None else first
        levels = adjusted(levels, opened.found.facts)
        highest = max(highest, float(levels.max()) / float(np.iinfo(levels.dtype).max))
    assert first is not None
    return highest, first


def _bands_of(opened: OpenPicture, fail_on: str) -> Iterator[Levels]:
    begin_pixels()
    image: Any = attempt_once(lambda: load(opened.found.data, LOADERS[opened.found.format], fail_on))
    height, width, bands = opened.image.height, opened.image.width, opened.image.bands
    if (image.height, image.width, image.bands) != (height, width, bands):
        raise changed(opened.found.name)
    take = region_of(image)
    for top in range(0, height, _BAND_ROWS):
        rows = min(_BAND_ROWS, height - top)
        levels = attempt_once(lambda top=top, rows=rows: take(top, rows))
        yield opened.expanded(levels)
