"""Tiles: how a picture is split, and how results are pasted together. Boxes are half open, in LR pixels, in the order
(h, w).

A tile reads `overlap_px` more than it keeps on each side, but stops at the border of the picture, so that the network
pads there exactly as it does on the whole picture. With an overlap of one receptive field, every kept value has the
same inputs as in the untiled picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import lcm

import numpy as np

from upres.errors import UsageError
from upres.graph.nodes import Array


@dataclass(frozen=True, slots=True)
class Tile:
    """The box that the network reads (source) and the box of its result that is kept (keep): rows top to bottom - 1,
    columns left to right - 1 of the picture, in LR pixels.
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
        """The longer side of the kept box."""
        return max(self.keep_bottom - self.keep_top, self.keep_right - self.keep_left)

    def cut(self, picture: Array) -> Array:
        """A view of the source box in `picture` (..., h, w)."""
        return picture[..., self.source_top : self.source_bottom, self.source_left : self.source_right]

    def keeps(self, height: int, width: int, margin_px: int = 0) -> bool:
        """Whether any of the kept box lies inside a picture of (height, width) that has `margin_px` around it."""
        rows, columns = self._kept(height, width, margin_px)
        return rows[0] < rows[1] and columns[0] < columns[1]

    def paste(
        self, sr: Array, result: Array, scale: int, *, margin_px: int = 0, share: float = 1.0, add: bool = False
    ) -> None:
        """Write what the tile keeps of `sr`, the network's result for the source box, into `result`.

        sr: (..., source h * scale, source w * scale).
        result: (..., h * scale, w * scale), of the picture without margin and padding; may be a view with any strides.
        scale: of the network.
        margin_px: the picture was tiled with a margin of this width, which is left out, as is padding below and right.
        share: factor for the values.
        add: add to `result` instead of replacing.
        """
        (top, bottom), (left, right) = self._kept(result.shape[-2] // scale, result.shape[-1] // scale, margin_px)
        y, x = (top - self.source_top) * scale, (left - self.source_left) * scale
        rows, columns = (bottom - top) * scale, (right - left) * scale
        y_to, x_to = (top - margin_px) * scale, (left - margin_px) * scale
        for plane in np.ndindex(
            result.shape[:-2]
        ):  # for an interleaved result, twice as fast as one copy of all channels
            kept = result[plane][y_to : y_to + rows, x_to : x_to + columns]
            part = sr[plane][y : y + rows, x : x + columns]
            if share != 1.0:
                part = part * np.float32(share)
            if add:
                kept += part
            else:
                kept[...] = part

    def _kept(self, height: int, width: int, margin: int) -> tuple[_Interval, _Interval]:
        return (
            (max(self.keep_top, margin), min(self.keep_bottom, margin + height)),
            (max(self.keep_left, margin), min(self.keep_right, margin + width)),
        )


def plan(
    height: int, width: int, *, tile_px: int | tuple[int, int], overlap_px: int, alignment: int = 1, grid_px: int = 1
) -> list[Tile]:
    """Split a picture of (height, width): kept boxes cover it once, row by row from the top. Sides are divided evenly,
    so no last strip is thin.

    tile_px: longest side of a kept box, or longest (h, w), at least `alignment`.
    overlap_px: how much more than its kept box a tile reads, inside the picture.
    alignment: of the network; all edges, and height and width, are multiples of it, and overlaps grow to reach that.
    grid_px: edges of sources inside the picture are multiples of it; see `Runner.grid_px`.

    Raises UsageError for values that break these rules.
    """
    if height < 1 or width < 1 or alignment < 1 or grid_px < 1 or overlap_px < 0:
        raise UsageError(f"cannot tile {height} x {width} pixels with overlap {overlap_px} and alignment {alignment}")
    if height % alignment or width % alignment:
        raise UsageError(
            f"{height} x {width} pixels are not multiples of the network's alignment {alignment}; pad the picture first"
        )
    whole = Tile(0, height, 0, width, 0, height, 0, width)
    return divide(whole, height, width, tile_px=tile_px, overlap_px=overlap_px, alignment=alignment, grid_px=grid_px)


def divide(
    tile: Tile,
    height: int,
    width: int,
    *,
    tile_px: int | tuple[int, int],
    overlap_px: int,
    alignment: int = 1,
    grid_px: int = 1,
) -> list[Tile]:
    """Split the kept box of one tile of a picture of (height, width) into smaller tiles, by the rules of `plan`.

    Used when memory runs out halfway through a picture. Raises UsageError for a `tile_px` below the alignment.
    """
    tall, wide = (tile_px, tile_px) if isinstance(tile_px, int) else tile_px
    if min(tall, wide) < alignment:
        raise UsageError(f"`tile_px` must be at least {alignment}, the alignment of the network, got {tile_px}")
    grid = lcm(alignment, grid_px)
    rows, columns = (
        [(_reach(kept, length, overlap_px, grid), kept) for kept in _kept_intervals(begin, end, longest, alignment)]
        for begin, end, length, longest in (
            (tile.keep_top, tile.keep_bottom, height, tall),
            (tile.keep_left, tile.keep_right, width, wide),
        )
    )
    return _boxes(rows, columns)


def source_lengths(length: int, tile_px: int, *, overlap_px: int, alignment: int = 1, grid_px: int = 1) -> list[int]:
    """How much each tile of `plan` reads along an axis of `length`, a multiple of `alignment`."""
    kept = _kept_intervals(0, length, tile_px, alignment)
    sources = [_reach(interval, length, overlap_px, lcm(alignment, grid_px)) for interval in kept]
    return [end - begin for begin, end in sources]


def plan_windows(height: int, width: int, *, size: tuple[int, int], overlap_px: int) -> list[Tile]:
    """Split a picture of (height, width) into tiles whose sources all have `size` (h, w): those at the border are moved
    inside.

    For networks that accept one size only, and for engines whose memory pools reuse blocks of equal size. The size is
    at most that of the picture, and twice `overlap_px` is less than any side that is shorter than the picture's.
    """
    rows, columns = (
        _window_intervals(length, side, overlap_px) for length, side in zip((height, width), size, strict=True)
    )
    return _boxes(rows, columns)


def run_tiles(
    run: Callable[[Array], Array], picture: Array, tiles: Iterable[Tile], *, scale: int, channels: int
) -> Array:
    """(1, c, h, w) -> (1, channels, h * scale, w * scale): `run` maps the source of each tile to its result, and they
    are pasted.
    """
    height, width = picture.shape[-2:]
    result = np.empty((1, channels, height * scale, width * scale), np.float32)
    for tile in tiles:
        tile.paste(run(tile.cut(picture)), result, scale)
    return result


_Interval = tuple[int, int]
_Intervals = list[tuple[_Interval, _Interval]]  # (source, kept) along one axis


def _boxes(rows: _Intervals, columns: _Intervals) -> list[Tile]:
    return [Tile(*source_y, *source_x, *keep_y, *keep_x) for source_y, keep_y in rows for source_x, keep_x in columns]


def _kept_intervals(begin: int, end: int, longest: int, alignment: int = 1) -> list[_Interval]:
    units = (end - begin) // alignment
    count = -(-units // (longest // alignment))
    return list(pairwise(begin + units * index // count * alignment for index in range(count + 1)))


def _reach(kept: _Interval, length: int, overlap: int, grid: int) -> _Interval:
    return max(0, (kept[0] - overlap) // grid * grid), min(length, -(-(kept[1] + overlap) // grid) * grid)


def _window_intervals(length: int, side: int, overlap: int) -> _Intervals:
    kept = _kept_intervals(0, length, length if side >= length else side - 2 * overlap)
    before = (side - max(end - begin for begin, end in kept)) // 2
    starts = [min(max(0, begin - before), length - side) for begin, _ in kept]
    return [((start, start + side), interval) for start, interval in zip(starts, kept, strict=True)]
