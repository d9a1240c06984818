"""The pixels that are looked at, of a picture in memory or of one whose rows are decoded one after the other."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from upres.images.io import Picture
from upres.images.read_rows import PictureRows, Pieces
from upres.inspection.sampling import (
    BLOCK_PX,
    MOST_ROW_PX,
    WINDOW_PX,
    block_places,
    busiest_window,
    dense_blocks,
    detail,
    row_places,
    spread_blocks,
    spread_rows,
    to_luma,
    window_places,
)

Array = NDArray[np.float32]


class Samples(Protocol):
    """What is looked at of a picture: see `sampling`."""

    @property
    def picture(self) -> Picture:
        """Its size and metadata; its pixels may be zeros that take no memory."""
        ...

    def window(self) -> Array:
        """The window `h w c` with most detail."""
        ...

    def blocks(self, grid: tuple[int, int] | None) -> Array:
        """Blocks `n 8 8 c` on a grid; None: where they may overlap."""
        ...

    def rows(self) -> Array:
        """Luma `n w` of some rows, in levels of 255."""
        ...


class WholeSamples:
    """Of a picture in memory."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def window(self) -> Array:
        """See `Samples`."""
        return self.picture.pixels[busiest_window(self.picture.pixels)]

    def blocks(self, grid: tuple[int, int] | None) -> Array:
        """See `Samples`."""
        pixels = self.picture.pixels
        return dense_blocks(pixels) if grid is None else spread_blocks(pixels, grid)

    def rows(self) -> Array:
        """See `Samples`."""
        return spread_rows(self.picture.pixels)


class RowSamples:
    """Of a picture that is decoded by rows, twice, and never in memory as a whole; so large that no blocks overlap."""

    def __init__(self, opened: PictureRows) -> None:
        self.picture, self._opened = opened.frame, opened
        height, width = self._size = (opened.header.height, opened.header.width)
        places = window_places(height, width)
        windows = Pieces([top for top, _ in places], [left for _, left in places], (WINDOW_PX, WINDOW_PX))
        tops, left = row_places(height, width)
        rows = Pieces(tops.tolist(), [left] * len(tops), (1, min(width, MOST_ROW_PX)))
        self._windows, self._rows = opened.pieces(windows, rows)

    def window(self) -> Array:
        """See `Samples`."""
        channel = self._windows[..., self._windows.shape[-1] // 2]
        return self._windows[int(np.argmax([detail(one) for one in channel]))]

    def blocks(self, grid: tuple[int, int] | None) -> Array:
        """See `Samples`."""
        tops, lefts = block_places(self._size, grid or (0, 0))
        (blocks,) = self._opened.pieces(Pieces(tops.tolist(), lefts.tolist(), (BLOCK_PX, BLOCK_PX)))
        return blocks

    def rows(self) -> Array:
        """See `Samples`."""
        return to_luma(np.clip(self._rows[:, 0], 0.0, 1.0))
