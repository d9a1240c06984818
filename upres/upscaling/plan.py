"""What upscaling one picture will take, worked out before any work is done: size, passes, tiles, multiply-adds, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from upres.errors import InputError
from upres.graph.opaque import Network
from upres.system.text import words_for_bytes
from upres.upscaling.output_size import OutputSize

MAX_PASSES = 2
PLAIN_STRETCH = 1.15  # up to this ratio beyond the network's scale a second pass (scale^2 times the work) shows nothing that cubic does not
MIN_TILE_PX = 32
WIDE_FIELD_PX = 64  # compact networks reach 18 to 34 pixels and are always tiled exactly; RRDB with 23 blocks reaches 348
MAX_TILE_WORK = 3.0  # for a wide field: the overlap stays exact until it makes the work this many times larger
TILE_MACS = 0.5e12  # a few seconds on two cores: how often a progress bar moves
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Tiling:
    """Square tiles in LR pixels: the side that each contributes, the overlap around it; `work` is source pixels over picture pixels."""

    tile_px: int
    overlap_px: int
    source_bytes: int
    work: float


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """One network of a chain as a plan sees it: `workspace_factor` and `grid_px` are of the engine that runs it (`engines.runner.Runner`).

    `device_bytes` is the free memory of the device that a tile is computed on, None where that is the host's. `max_tile_px` is the side
    of a tile that fitted after memory was short once.
    """

    graph: Network
    workspace_factor: float = 1.0
    grid_px: int = 1
    device_bytes: int | None = None
    max_tile_px: int | None = None


@dataclass(frozen=True, slots=True)
class Extras:
    """What is done around the networks: `turns` is how often each runs over a picture (8: all its turns and flips), `wrap` puts the
    picture's other side around it, `mixes` tells that the input's own enlargement is mixed into the result."""

    turns: int = 1
    wrap: bool = False
    mixes: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over a whole picture of that size; `place` is the network's in the chain, `margin_px` is put around the picture."""

    height: int
    width: int
    tiling: Tiling
    place: int = 0
    margin_px: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`height`, `width` are of the output. `macs` counts every pass of color and alpha. `array_bytes` is the peak of the picture's own
    arrays, `needed_bytes` that with a tile's activations."""

    height: int
    width: int
    passes: tuple[Pass, ...]
    macs: float
    array_bytes: int
    needed_bytes: int
    notes: tuple[str, ...]

    @property
    def pixels(self) -> int:
        return self.height * self.width


def count_passes(height: int, width: int, target: tuple[int, int], scale: int) -> tuple[int, tuple[str, ...]]:
    """How often the network of that scale runs on a picture of (height, width) to reach `target`, and what the user should know of it."""
    ratio = max(target[0] / height, target[1] / width)
    if scale == 1:
        return 1, () if target == (height, width) else ("the model keeps the size: its result was resized by plain cubic interpolation",)
    if target[0] <= height and target[1] <= width:
        return 0, ("not larger than the input: resized by plain cubic interpolation, no network was used",)
    if ratio <= scale * PLAIN_STRETCH or (target[0] <= height * scale and target[1] <= width * scale):
        return 1, ()
    notes = [f"beyond x{scale}: the network ran twice, then its result was resized to fit"]
    if (target[0], target[1]) == (height * scale**2, width * scale**2):
        notes = [f"x{scale**2} is the network of x{scale} run twice"]
    if ratio > scale**2 * PLAIN_STRETCH:
        notes = [f"beyond x{scale**2}: the network ran twice, the rest is plain cubic interpolation and adds no detail"]
    return MAX_PASSES, tuple(notes)


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
    """Tiles for one pass over (height, width) whose activations stay within `room_bytes`; the whole picture at once where that fits.

    The overlap is the receptive field, and one block of an engine that computes in blocks (`Runner.grid_px`), so that a tiled picture
    equals the untiled one. Only a field wider than `WIDE_FIELD_PX`, whose exact overlap would multiply the work more than `MAX_TILE_WORK`
    times, is cut to `WIDE_FIELD_PX`, unless `exact` forbids it; the caller tells the user. `tile_px` overrides the choice of the side, and
    neither exceeds `max_tile_px`. A `tile_px` of 0 in the result means that not even `MIN_TILE_PX` fits.
    """
    field = graph.receptive_field
    overlap = field + grid_px if grid_px > 1 else field
    limits = (room_bytes, bytes_per_px, tile_px, max_tile_px, grid_px)
    tiling = _tiling(height, width, graph, overlap, *limits)
    if field > WIDE_FIELD_PX and not exact and (tiling.tile_px == 0 or tiling.work > MAX_TILE_WORK):
        return _tiling(height, width, graph, WIDE_FIELD_PX, *limits)
    return tiling


def smaller_tiles(
    height: int, width: int, graph: Network, tiling: Tiling, *, tile_px: int, bytes_per_px: float, exact: bool, grid_px: int = 1
) -> Tiling:
    """`tiling` of (height, width) with a side of `tile_px`, for when memory was short.

    The overlap stays, so the result does. Only that of a wide field is cut, as by `choose_tiling`: tiles much smaller than their overlap
    would need hardly less memory for many times the work.
    """
    result = _tiling(height, width, graph, tiling.overlap_px, 0, bytes_per_px, tile_px, None, grid_px)
    if tiling.overlap_px >= graph.receptive_field > WIDE_FIELD_PX and not exact and result.work > MAX_TILE_WORK:
        return _tiling(height, width, graph, WIDE_FIELD_PX, 0, bytes_per_px, tile_px, None, grid_px)
    return result


def narrow_note(seen_px: int, graph: Network) -> str:
    """What the user is told where tiles overlap by less than the network sees."""
    return (
        f"too large for this network in one piece: tiles overlap by {seen_px} px and it sees {graph.receptive_field} px, "
        "so values near their borders can differ a little (`exact=True` or more `memory_bytes` avoids it)"
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


def make_plan(
    graph: Network,
    height: int,
    width: int,
    *,
    channels: int,
    has_alpha: bool,
    depth: int,
    size: OutputSize,
    budget_bytes: int,
    workspace_factor: float = 1.0,
    tile_px: int | None = None,
    exact: bool = False,
    grid_px: int = 1,
    device_bytes: int | None = None,
    max_tile_px: int | None = None,
    then: tuple[NetworkCost, ...] = (),
    extras: Extras | None = None,
) -> Plan:
    """Plan one picture of (height, width) with `channels` colors. Raises `InputError` where `budget_bytes` cannot hold it.

    `workspace_factor`, `grid_px`, `device_bytes` and `max_tile_px` are those of a `NetworkCost`, for `graph`. `then` are the networks after
    it, each on what the one before it gave.
    """
    extras = extras or Extras()
    chain = (NetworkCost(graph, workspace_factor, grid_px, device_bytes, max_tile_px), *then)
    scale = math.prod(cost.graph.scale for cost in chain)
    out_height, out_width = size.resolve(height, width, native=scale)
    count, notes = count_passes(height, width, (out_height, out_width), scale)
    order = _network_order(chain, count)
    planes = channels + has_alpha
    arrays = height * width * planes * FLOAT_BYTES
    out_pixels = out_height * out_width
    # What is alive together, at each moment: while a pass runs, during the last resize (its source, its half-way, its result), and
    # while the result is written. Color is finished before alpha is begun, which needs less.
    moments = [arrays + out_pixels * planes * (FLOAT_BYTES + 2 * (depth // 8))]
    sizes = [(height, width)]
    for place in order:
        sizes.append((sizes[-1][0] * chain[place].graph.scale, sizes[-1][1] * chain[place].graph.scale))
    margins = [_margin(*sizes[i], chain[place].graph, exact=exact) if extras.wrap else 0 for i, place in enumerate(order)]
    plane_bytes = [channels * rows * columns * FLOAT_BYTES for rows, columns in sizes]
    framed_bytes = [channels * (sizes[i][0] + 2 * m) * (sizes[i][1] + 2 * m) * FLOAT_BYTES if m else 0 for i, m in enumerate(margins)]
    moments += [arrays + plane_bytes[i + 1] + (plane_bytes[i] if i else 0) + framed_bytes[i] for i in range(len(order))]
    rows, columns = sizes[-1]
    halfway = max(rows * out_width, out_height * columns)
    if (rows, columns) != (out_height, out_width):
        moments.append(arrays + plane_bytes[-1] + (halfway + out_pixels) * (channels + 2 * extras.wrap) * FLOAT_BYTES)
    if extras.mixes:  # one plane after the other; a wrapped one is made three times as long at most
        moments.append(arrays + out_pixels * planes * FLOAT_BYTES + (halfway + out_pixels) * (3 if extras.wrap else 1) * FLOAT_BYTES)
    array_bytes = max(moments)

    # An engine keeps a tile's memory until it is closed, so the tile and the widest moment of the arrays must fit together. The tile takes
    # half of what is left, so that the pictures before and after this one can be written and read meanwhile; all of it if need be.
    # The engines of a chain share it.
    left = (budget_bytes - array_bytes) // len(chain)
    passes: list[Pass] = []
    macs = 0.0
    for i, (place, margin) in enumerate(zip(order, margins, strict=True)):
        cost = chain[place]
        rows, columns = sizes[i][0] + 2 * margin, sizes[i][1] + 2 * margin
        bytes_per_px = cost.graph.activation_bytes_per_pixel * cost.workspace_factor
        tiles = partial(
            choose_tiling, rows, columns, cost.graph, bytes_per_px=bytes_per_px, tile_px=tile_px, exact=exact, grid_px=cost.grid_px
        )
        tiling = Tiling(0, 0, 0, math.inf)
        for room in (left // 2, left):
            if cost.device_bytes is not None:
                room = min(room, cost.device_bytes // len(chain))
            tiling = tiles(room_bytes=room, max_tile_px=cost.max_tile_px)
            if tiling.tile_px:
                break
        if not tiling.tile_px and cost.device_bytes is not None:  # what a device calls free may be too little: it says so if it is
            tiling = tiles(room_bytes=left, max_tile_px=MIN_TILE_PX)
        passes.append(Pass(*sizes[i], tiling, place, margin))
        seen_px = min(tiling.overlap_px, margin) if extras.wrap else tiling.overlap_px
        if tiling.tile_px and seen_px < cost.graph.receptive_field:
            notes += (narrow_note(seen_px, cost.graph),)
        repeats = 1 if cost.graph.in_channels == channels or channels == 1 else channels
        work = (tiling.work if tiling.tile_px else 1.0) * extras.turns * (repeats + has_alpha)
        macs += rows * columns * work * cost.graph.macs_per_pixel
    needed = array_bytes
    for place in set(order):
        needed += max(step.tiling.source_bytes for step in passes if step.place == place)
    if needed > budget_bytes:
        raise InputError(
            f"making {out_width} x {out_height} takes {words_for_bytes(needed)} of memory and {words_for_bytes(budget_bytes)} may be used: "
            "ask for a smaller output, close other programs, or allow more `memory_bytes`"
        )
    return Plan(out_height, out_width, tuple(passes), macs, array_bytes, needed, notes)


def _network_order(chain: tuple[NetworkCost, ...], count: int) -> list[int]:
    """Which network runs at each pass: the whole chain `count` times, but what does not enlarge (a repair) only the first time."""
    whole = range(len(chain))
    return [place for time in range(count) for place in whole if time == 0 or chain[place].graph.scale > 1]


def _margin(height: int, width: int, graph: Network, *, exact: bool) -> int:
    """How much of the other side is put around a seamless picture: all that the network sees, cut as the overlap of tiles is."""
    field = graph.receptive_field
    if field > WIDE_FIELD_PX and not exact and (height + 2 * field) * (width + 2 * field) > MAX_TILE_WORK * height * width:
        field = WIDE_FIELD_PX
    return -(-field // graph.alignment) * graph.alignment
