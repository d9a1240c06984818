"""Tile plans: geometry only, all in LR pixels, boxes half open, order (h, w).

A tile keeps the part of the result that is its own and reads `overlap_px` more on each side where the picture goes on. At the picture's
border it reads up to the border and no further, so that the network's zero padding acts there exactly as it does on the whole picture.
With the overlap equal to the receptive field, every kept value depends on the same input values as in the untiled picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import lcm

from upres.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tile:
    """Run the network on the source box; of the result, keep what stands for the keep box. Both are boxes of the picture, in LR pixels:
    rows top ... bottom - 1, columns left ... right - 1.
    """

    source_top: int
    source_bottom: int
    source_left: int
    source_right: int
    keep_top: int
    keep_bottom: int
    keep_left: int
    keep_right: int

    @property
    def source_shape(self) -> tuple[int, int]:
        return self.source_bottom - self.source_top, self.source_right - self.source_left

    @property
    def source_px(self) -> int:
        return (self.source_bottom - self.source_top) * (self.source_right - self.source_left)

    @property
    def keep_side(self) -> int:
        """The longer side of what is kept."""
        return max(self.keep_bottom - self.keep_top, self.keep_right - self.keep_left)


def plan(height: int, width: int, *, tile_px: int, overlap_px: int, alignment: int = 1, grid_px: int = 1) -> list[Tile]:
    """Tiles whose kept parts cover (height, width) once, row by row from the top.

    tile_px is the largest side of a kept part; the sides are divided evenly, so there is no thin last strip. Every edge of a source and of
    a kept part is a multiple of `alignment` (overlaps grow to reach it), and so must be height and width, and at least one alignment
    fits into a tile. Edges of sources inside the picture are multiples of `grid_px` as well: see `Runner.grid_px`. Raises UsageError
    otherwise.
    """
    if height < 1 or width < 1 or alignment < 1 or grid_px < 1 or overlap_px < 0:
        raise UsageError(f"cannot tile {height} x {width} pixels with overlap {overlap_px} and alignment {alignment}")
    if height % alignment or width % alignment:
        raise UsageError(f"{height} x {width} pixels are not multiples of the network's alignment {alignment}; pad the picture first")
    if tile_px < alignment:
        raise UsageError(f"a tile of {tile_px} pixels is too small: expected {alignment} or more, the alignment of the network")
    rows, columns = (_divide(0, side, side, tile_px, overlap_px, alignment, lcm(alignment, grid_px)) for side in (height, width))
    return [Tile(*source_y, *source_x, *keep_y, *keep_x) for source_y, keep_y in rows for source_x, keep_x in columns]


def divide(tile: Tile, height: int, width: int, *, tile_px: int, overlap_px: int, alignment: int = 1, grid_px: int = 1) -> list[Tile]:
    """A tile of a picture of (height, width) in smaller ones, row by row, as `plan` would have made them: the same area is kept once.

    For the tiles that are left when memory runs short. Raises UsageError for a `tile_px` below the alignment.
    """
    if tile_px < alignment:
        raise UsageError(f"a tile of {tile_px} pixels is too small: expected {alignment} or more, the alignment of the network")
    grid = lcm(alignment, grid_px)
    rows = _divide(tile.keep_top, tile.keep_bottom, height, tile_px, overlap_px, alignment, grid)
    columns = _divide(tile.keep_left, tile.keep_right, width, tile_px, overlap_px, alignment, grid)
    return [Tile(*source_y, *source_x, *keep_y, *keep_x) for source_y, keep_y in rows for source_x, keep_x in columns]


_Interval = tuple[int, int]


def _divide(begin: int, end: int, length: int, tile: int, overlap: int, alignment: int, grid: int) -> list[tuple[_Interval, _Interval]]:
    """(source, kept) intervals along one axis of that length, the kept ones from `begin` to `end`."""
    units, largest = (end - begin) // alignment, tile // alignment
    count = -(-units // largest)
    edges = [begin + units * index // count * alignment for index in range(count + 1)]
    return [((max(0, (a - overlap) // grid * grid), min(length, -(-(b + overlap) // grid) * grid)), (a, b)) for a, b in pairwise(edges)]
