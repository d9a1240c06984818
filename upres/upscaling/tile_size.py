"""Choose the size and the overlap of tiles by receptive field, work and memory, and how many run at once.

An engine may run one tile with all threads in each layer, or several tiles at once with one thread each
(`engines.runner.parallel_of`). Threads in a layer wait for each other at its end, and for a thread that another program
keeps off its core; tiles never wait, but a picture that is cut for them costs their overlap. The cheaper of the two is
chosen, by the pixels that the busiest thread computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

from upres.engines.tiles import Tile, source_lengths
from upres.engines.tiles import plan as plan_tiles
from upres.graph.opaque import Network

MIN_TILE_PX = 32
# Compact networks have receptive fields of 18 to 34 px and are always tiled exactly; RRDB with 23 blocks has 348.
WIDE_FIELD_PX = 64
MAX_TILE_WORK = 3.0  # for a wide field: limit on the extra work of the exact overlap
TILE_MACS = 0.5e12  # a few seconds on two cores: how often a progress bar moves
# N threads in a layer are as fast as N to this power without waiting: between a quiet machine (0.9 and more, wide
# networks) and one with other work (0.5 and less, narrow ones); benchmarks/results.
LAYER_SHARE = 0.75
_MAX_CUTS = 24  # of an axis, when a picture is cut for its threads
_NEARLY = 1.05  # times the least cost: tiles within it are equally good, and the smaller ones are chosen


@dataclass(frozen=True, slots=True)
class Tiling:
    """Tiles, in LR pixels.

    tile_px: Longest side of the kept box.
    overlap_px: How much more a tile reads on each side.
    source_bytes: Activations of all tiles that run at once.
    work: Pixels read by all tiles, divided by the pixels of the picture.
    workers: Tiles that run at once, in one thread each; 1: one tile, with all threads in its layers.
    kept_px: Longest height and width of the kept box; None: both are `tile_px`.
    """

    tile_px: int
    overlap_px: int
    source_bytes: int
    work: float
    workers: int = 1
    kept_px: tuple[int, int] | None = None

    @property
    def kept(self) -> tuple[int, int]:
        """Longest height and width of the kept box."""
        return self.kept_px or (self.tile_px, self.tile_px)

    @property
    def tile_bytes(self) -> int:
        """Activations of one tile."""
        return self.source_bytes // self.workers


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
    workers: int = 1,
    most_rows: int | None = None,
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
    workers: Tiles that the engine can run at once, in one thread each.
    most_rows: As in `NetworkCost`.

    A result with `tile_px` 0 means that not even tiles of `MIN_TILE_PX` fit.
    """
    field = graph.receptive_field
    overlap = field + grid_px if grid_px > 1 else field
    limits = (room_bytes, bytes_per_px, tile_px, max_tile_px, grid_px, most_rows)
    tiling = _tiling(height, width, graph, overlap, *limits)
    if field > WIDE_FIELD_PX and not exact and (tiling.tile_px == 0 or tiling.work > MAX_TILE_WORK):
        tiling = _tiling(height, width, graph, WIDE_FIELD_PX, *limits)
    return tiling if workers == 1 else _shared(height, width, graph, tiling, workers, *limits)


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
        result = _tiling(height, width, graph, WIDE_FIELD_PX, 0, bytes_per_px, tile_px, None, grid_px)
    return replace(result, workers=tiling.workers, source_bytes=result.source_bytes * tiling.workers)


def tiles_of(
    tiling: Tiling, padded: tuple[int, int], size: tuple[int, int], alignment: int, grid_px: int, margin_px: int = 0
) -> list[Tile]:
    """The tiles of a picture of `size` (h, w), which with margin and padding has size `padded`; those that would hold
    nothing but margin and padding are left out.
    """
    kept, overlap = tiling.kept, tiling.overlap_px
    tiles = plan_tiles(*padded, tile_px=kept, overlap_px=overlap, alignment=alignment, grid_px=grid_px)
    return [tile for tile in tiles if tile.keeps(*size, margin_px)]


def narrow_note(seen_px: int, graph: Network, work: float, *, given: bool = False) -> str:
    """The note for tiles that overlap by `seen_px`, less than the receptive field of `graph`.

    work: Of the tiling. given: The user set the size of the tiles.
    """
    remedy = "`exact=True` or more `memory_bytes`" if not given else "`exact=True` or a larger `tile_px`"
    cost = f"the network reads {work:.1f} times the picture, and " if given and work > MAX_TILE_WORK else ""
    return (
        f"the picture is tiled with an overlap of {seen_px} px, less than the network's receptive field of "
        f"{graph.receptive_field} px; {cost}"
        f"pixels near tile borders can differ slightly ({remedy} avoids this)"
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
    most_rows: int | None = None,
) -> Tiling:
    align = graph.alignment
    step = math.lcm(align, grid_px)

    def source_bytes(tile: int) -> int:
        reach = tile + 2 * (overlap + step)
        rows = min(height + align, reach, most_rows or reach)
        return math.ceil(rows * min(width + align, reach) * bytes_per_px)

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
        tile = min(tile, _moving_px(graph, overlap, whole))
    if max_tile_px is not None:
        tile = min(tile, max_tile_px)
    tile = max(align, -(-tile // align) * align)
    down = _reads(height, tile, graph, overlap, grid_px)
    across = _reads(width, tile, graph, overlap, grid_px)
    return Tiling(tile, overlap, source_bytes(tile), sum(down) * sum(across) / (height * width))


def _moving_px(graph: Network, overlap: int, whole: int) -> int:
    """Longest side of a tile for which a progress bar still moves, or `whole`."""
    if not graph.macs_per_pixel:
        return whole
    return math.ceil(max(math.sqrt(TILE_MACS / graph.macs_per_pixel), 48.0 * overlap))


def _reads(length: int, kept: int, graph: Network, overlap: int, grid_px: int) -> list[int]:
    """How much each tile of at most `kept` px reads along an axis of a picture."""
    align = graph.alignment
    return source_lengths(-(-length // align) * align, kept, overlap_px=overlap, alignment=align, grid_px=grid_px)


def _shared(
    height: int,
    width: int,
    graph: Network,
    whole: Tiling,
    workers: int,
    room_bytes: int,
    bytes_per_px: float,
    tile_px: int | None,
    max_tile_px: int | None,
    grid_px: int,
    most_rows: int | None,
) -> Tiling:
    """Tiles that run at once if those cost less than `whole`, with the same overlap; else `whole`.

    The cost is what the busiest thread reads, divided by the pixels of the picture.
    """
    align = graph.alignment

    def sides(length: int) -> dict[int, list[int]]:
        """What the tiles read along an axis, by the side that they keep."""
        if tile_px is not None:
            kept = {min(tile_px, length)}
        else:
            longest = min(_moving_px(graph, whole.overlap_px, length), max_tile_px or length)
            fewest = -(-length // longest)
            kept = {-(-length // count) for count in range(fewest, fewest + _MAX_CUTS)}
            kept = {side for side in kept if side >= min(MIN_TILE_PX, longest)}
        kept = {-(-side // align) * align for side in kept}
        return {side: _reads(length, side, graph, whole.overlap_px, grid_px) for side in kept}

    found: list[tuple[float, Tiling]] = []
    for (tall, down), (wide, across) in product(sides(height).items(), sides(width).items()):
        tile_bytes = math.ceil(min(max(down), most_rows or max(down)) * max(across) * bytes_per_px)
        count = len(down) * len(across)
        at_once = min(workers, count, room_bytes // max(1, tile_bytes))
        if at_once < 2:
            continue
        work = sum(down) * sum(across) / (height * width)
        largest = max(down) * max(across) / (height * width)
        cost = max(largest, work / count * -(-count // at_once))
        found.append(
            (cost, Tiling(max(tall, wide), whole.overlap_px, tile_bytes * at_once, work, at_once, (tall, wide)))
        )
    least = min((cost for cost, _ in found), default=math.inf)
    if whole.tile_px and whole.work / workers**LAYER_SHARE <= least:
        return whole
    good = [tiling for cost, tiling in found if cost <= _NEARLY * least]
    return min(good, key=lambda tiling: tiling.source_bytes, default=whole)
