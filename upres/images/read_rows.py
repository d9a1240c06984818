"""Decode a picture from the top, a band of rows at a time, for pictures that are too large to be whole in memory."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from upres.errors import InputError
from upres.images.adjust import adjusted
from upres.images.icc import Levels, region_of
from upres.images.picture import Header, Picture
from upres.images.read import LOADERS, OpenPicture, with_end
from upres.images.rows import Array, StreamedRows
from upres.images.vips import VipsError, attempt, attempt_once, begin_pixels, load
from upres.images.whole import changed, doubtful

_BAND_ROWS = 64


class PictureRows:
    """A picture file whose rows are decoded when they are asked for; see `open_rows`.

    Args:
        frame: The picture without its pixels: they are zeros that take no memory.
        highest: The highest value of its pixels.
        header: Size, channels, depth and format.
    """

    def __init__(self, opened: OpenPicture, fail_on: str, highest: float, frame: Picture) -> None:
        self.frame, self.highest, self.header = frame, highest, opened.header
        self._opened, self._fail_on = opened, fail_on

    def rows(self, change: Callable[[Array], Array] | None = None) -> StreamedRows:
        """The pixels, float32 `h w c`, from the top. Each call decodes the file again.

        Args:
            change: Applied to each band.

        Raises:
            InputError: While rows are read, if the file was changed since it was opened.
        """
        height, width, channels = self.frame.pixels.shape
        bands = self._bands()
        return StreamedRows((height, width, channels), bands if change is None else map(change, bands))

    def _bands(self) -> Iterator[Array]:
        opened = self._opened
        try:
            for levels in _bands_of(opened, self._fail_on):
                yield opened.picture(levels, []).pixels
        except VipsError as error:
            raise InputError(f"{changed(opened.found.name)} ({error})") from error


def open_rows(source: str | os.PathLike[str] | bytes, *, max_pixels: int = 1_000_000_000) -> PictureRows:
    """Open a picture whose header says `by_rows`. It is decoded once to its end, so that damage is known at once.

    Args:
        source: A path, or the bytes of a file.
        max_pixels: Maximum height x width.

    Raises:
        InputError: As `read_picture` does; also if rows of this picture cannot be decoded one after the other.
    """
    opened = OpenPicture(source, max_pixels)
    name = opened.found.name
    if not opened.header.by_rows:
        raise InputError(f"{name} is turned, or has transparency or a color profile of tables: read it as a whole")
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
    return PictureRows(opened, fail_on, highest, _frame(opened.picture(first, notes), opened.header))


def _scan(opened: OpenPicture, fail_on: str) -> tuple[float, Levels]:
    """The highest value of any pixel, and the first band."""
    highest, first = 0.0, None
    for levels in _bands_of(opened, fail_on):
        first = levels if first is None else first
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


def _frame(first: Picture, header: Header) -> Picture:
    """The picture of the first band, with the size of the whole and zeros that take no memory."""
    zeros = np.broadcast_to(np.float32(0.0), (header.height, header.width, first.pixels.shape[2]))
    return replace(first, pixels=zeros)
