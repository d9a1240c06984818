"""How a picture is cut into tiles whose results fit together: geometry only, all in LR pixels.

Each tile keeps its own part of the result and is computed from that part widened by the overlap on every side, never beyond the picture: at
the border of the picture the network pads as it does for the whole. With an overlap of the receptive field a tiled
picture therefore equals the untiled one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from upres.errors import UsageError


@dataclass(frozen=True, slots=True)
class Tile:
    """The rows and columns that a tile is computed from (`source_*`) and those of its result that are kept; ends are exclusive."""

    source_top: int
    source_bottom: int
    source_left: int
    source_right: int
    keep_top: int
    keep_bottom: int
    keep_left: int
    keep_right: int


def plan(height: int, width: int, *, tile_px: int, overlap_px: int, alignment: int = 1) -> list[Tile]:
    """Tiles that keep at most `tile_px` a side (rounded up to `alignment`), row by row; their kept parts cover (height, width) once.

    Sides are divided evenly, so there is no thin last strip that would be mostly overlap. Every edge of a source lies on a multiple of
    `alignment`, as a network with pixel-unshuffle needs it. Raises `UsageError` where height and width are not such multiples, or for a
    tile or an overlap that is no size.
    """
    if tile_px < 1 or overlap_px < 0 or alignment < 1:
        raise UsageError(f"a tile needs at least 1 px, an overlap 0 and an alignment 1; got {tile_px}, {overlap_px} and {alignment}")
    if height < 1 or width < 1 or height % alignment or width % alignment:
        raise UsageError(f"height and width must be multiples of {alignment} and at least 1 px; got {height} x {width}")
    rows = _spans(height, tile_px, overlap_px, alignment)
    columns = _spans(width, tile_px, overlap_px, alignment)
    return [Tile(top, bottom, left, right, *kept_rows, *kept) for (top, bottom, *kept_rows) in rows for (left, right, *kept) in columns]


def _spans(length: int, tile_px: int, overlap_px: int, alignment: int) -> list[tuple[int, int, int, int]]:
    """(source start, source end, kept start, kept end) along one axis."""
    units = length // alignment
    count = math.ceil(units / max(1, math.ceil(tile_px / alignment)))
    reach = math.ceil(overlap_px / alignment) * alignment
    edges = [units * i // count * alignment for i in range(count + 1)]
    return [(max(0, a - reach), min(length, b + reach), a, b) for a, b in pairwise(edges)]
