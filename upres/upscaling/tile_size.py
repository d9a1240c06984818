"""Choose the size and the overlap of tiles by receptive field, work and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass

from upres.graph.opaque import Network

MIN_TILE_PX = 32
# Compact networks have receptive fields of 18 to 34 px and are always tiled exactly; RRDB with 23 blocks has 348.
WIDE_FIELD_PX = 64
MAX_TILE_WORK = 3.0  # for a wide field: limit on the extra work of the exact overlap
TILE_MACS = 0.5e12  # a few seconds on two cores: how often a progress bar moves


@dataclass(frozen=True, slots=True)
class Tiling:
    """Square tiles, in LR pixels.

    tile_px: Side of the kept box.
    overlap_px: How much more a tile reads on each side.
    source_bytes: Activations of one tile.
    work: Pixels read by all tiles, divided by the pixels of the picture.
    """

    tile_px: int
    overlap_px: int
    source_bytes: int
    work: float


def choose_tiling(
    height: int,
    width: int,
    graph: Network,
    *,
    room_bytes: int,
    bytes_per_px: float,
    tile_px: int | None,
    exact: bool,
    grid_px: int = 1,
    max_tile_px: int | None = None,
) -> Tiling:
    """Choose the tiles for one pass over (height, width); one tile if the whole picture fits.

    The overlap is the receptive field plus one block of an engine that computes in blocks, so a tiled picture equals
    the untiled one. A receptive field above `WIDE_FIELD_PX` whose overlap would cost more than `MAX_TILE_WORK` times
    the work is cut to `WIDE_FIELD_PX`; the caller notes it.

    room_bytes: Memory for the activations of a tile.
    bytes_per_px: Activations per LR pixel in this engine.
    tile_px: Side to use instead of the largest that fits, or None.
    exact: Never cut the overlap.
    grid_px: Block size of the engine (`Runner.grid_px`).
    max_tile_px: Upper limit on the side, or None.

    A result with `tile_px` 0 means that not even tiles of `MIN_TILE_PX` fit.
    """
    field = graph.receptive_field
    overlap = field + grid_px if grid_px > 1 else field
    limits = (room_bytes, bytes_per_px, tile_px, max_tile_px, grid_px)
    tiling = _tiling(height, width, graph, overlap, *limits)
    if field > WIDE_FIELD_PX and not exact and (tiling.tile_px == 0 or tiling.work > MAX_TILE_WORK):
        return _tiling(height, width, graph, WIDE_FIELD_PX, *limits)
    return tiling


def smaller_tiles(
    height: int,
    width: int,
    graph: Network,
    tiling: Tiling,
    *,
    tile_px: int,
    bytes_per_px: float,
    exact: bool,
    grid_px: int = 1,
) -> Tiling:
    """`tiling` of (height, width) with a side of `tile_px` instead, after memory ran out.

    The overlap stays, and with it the result. Only that of a wide field is cut, as in `choose_tiling`: tiles much
    smaller than their overlap save little memory and cost many times the work.
    """
    result = _tiling(height, width, graph, tiling.overlap_px, 0, bytes_per_px, tile_px, None, grid_px)
    if tiling.overlap_px >= graph.receptive_field > WIDE_FIELD_PX and not exact and result.work > MAX_TILE_WORK:
        return _tiling(height, width, graph, WIDE_FIELD_PX, 0, bytes_per_px, tile_px, None, grid_px)
    return result


def narrow_note(seen_px: int, graph: Network) -> str:
    """The note for tiles that overlap by `seen_px`, less than the receptive field of `graph`."""
    return (
        f"the picture is tiled with an overlap of {seen_px} px, less than the network's receptive field of "
        f"{graph.receptive_field} px; "
        "pixels near tile borders can differ slightly (`exact=True` or more `memory_bytes` avoids this)"
    )


def _tiling(
    height: int,
    width: int,
    graph: Network,
    overlap: int,
    room_bytes: int,
    bytes_per_px: float,
    tile_px: int | None,
    max_tile_px: int | None,
    grid_px: int,
) -> Tiling:
    align = graph.alignment
    step = math.lcm(align, grid_px)

    def source_bytes(tile: int) -> int:
        reach = tile + 2 * (overlap + step)
        return math.ceil(min(height + align, reach) * min(width + align, reach) * bytes_per_px)

    whole = max(height, width)
    if tile_px is not None:
        tile = min(tile_px, whole)
    elif source_bytes(whole) <= room_bytes:
        tile = whole
    else:
        area = max(room_bytes, 0) / bytes_per_px
        side = max(math.sqrt(area), area / (min(height, width) + align))
        tile = math.floor(side) - 2 * (overlap + step)
        if tile < MIN_TILE_PX:
            return Tiling(0, overlap, source_bytes(MIN_TILE_PX), math.inf)
    if tile_px is None:
        moving = max(math.sqrt(TILE_MACS / graph.macs_per_pixel), 48.0 * overlap) if graph.macs_per_pixel else whole
        tile = min(tile, math.ceil(moving))
    if max_tile_px is not None:
        tile = min(tile, max_tile_px)
    tile = max(align, -(-tile // align) * align)
    rows, columns = math.ceil(height / tile), math.ceil(width / tile)
    reach = overlap + (step - 1) / 2  # on average
    source = (height + 2 * reach * (rows - 1)) * (width + 2 * reach * (columns - 1))
    return Tiling(tile, overlap, source_bytes(tile), source / (height * width))
