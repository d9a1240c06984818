"""Plan the upscaling of one picture before any work is done: output size, passes, tiles, multiply-adds, memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from upres.graph.opaque import Network
from upres.upscaling.output_size import OutputSize, too_large
from upres.upscaling.passes import count_passes
from upres.upscaling.tile_size import (
    MAX_TILE_WORK,
    MIN_TILE_PX,
    WIDE_FIELD_PX,
    Tiling,
    choose_tiling,
    narrow_note,
    tiles_of,
)

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class NetworkCost:
    """What a plan needs to know about one network of a chain.

    graph: The network.
    workspace_factor: `memory_factor` of its engine (`engines.runner.Runner`).
    grid_px: Of its engine.
    device_bytes: Free memory of the engine's device; None if that is the host.
    max_tile_px: Side of the tiles that fitted after memory ran out once.
    workers: Tiles that its engine can run at once, in one thread each.
    fixed_bytes: Of its weights in the engine.
    most_rows: Rows from which the memory of a tile no longer grows; None if it grows with every row.
    """

    graph: Network
    workspace_factor: float = 1.0
    grid_px: int = 1
    device_bytes: int | None = None
    max_tile_px: int | None = None
    workers: int = 1
    fixed_bytes: int = 0
    most_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Extras:
    """What is done besides running each network once.

    turns: How often each network runs over a picture (8: all rotations and flips).
    wrap: Pad each pass with the opposite side of the picture.
    mixes: The output is mixed with a resized input (color lock, blend).
    """

    turns: int = 1
    wrap: bool = False
    mixes: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of a network over a whole picture.

    height, width: Of its input.
    tiling: Its tiles.
    place: Index of the network in the chain.
    margin_px: Padding around the input, for seamless pictures.
    """

    height: int
    width: int
    tiling: Tiling
    place: int = 0
    margin_px: int = 0

    @property
    def tile_px(self) -> int:
        """What a tile reads at most, in pixels."""
        (tall, wide), beyond = self.tiling.kept, 2 * self.tiling.overlap_px
        frame = 2 * self.margin_px
        return min(self.height + frame, tall + beyond) * min(self.width + frame, wide + beyond)


@dataclass(frozen=True, slots=True)
class Plan:
    """What upscaling one picture takes.

    height, width: Of the output.
    passes: In the order they run.
    macs: Multiply-adds of all passes, color and alpha.
    array_bytes: Peak memory of the picture's own arrays.
    needed_bytes: The same with the activations of a tile.
    notes: For the user.
    by_rows: Rows are read, computed and written from the top; no picture is whole in memory.
    """

    height: int
    width: int
    passes: tuple[Pass, ...]
    macs: float
    array_bytes: int
    needed_bytes: int
    notes: tuple[str, ...]
    by_rows: bool = False

    @property
    def pixels(self) -> int:
        return self.height * self.width

    @property
    def tile_side_px(self) -> int:
        """The side of a square tile that takes as much memory as the tiles do, in the pass with the smallest ones."""
        sides = [math.isqrt(step.tile_px) for step in self.passes]
        return min(sides, default=MIN_TILE_PX)

    @property
    def workers(self) -> int:
        """Tiles at once, in the pass with most of them."""
        return max((step.tiling.workers for step in self.passes), default=1)


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
    workers: int = 1,
    fixed_bytes: int = 0,
    most_rows: int | None = None,
    then: tuple[NetworkCost, ...] = (),
    extras: Extras | None = None,
    bands: int = 0,
) -> Plan:
    """Plan one picture. Raises `InputError` if it does not fit into `budget_bytes`.

    graph: The network, or the first of the chain.
    height, width: Of the input.
    channels: Of its color, 1 or 3.
    has_alpha: An alpha channel runs through the network too.
    depth: Bits per channel of the output, 8 or 16.
    size: The output size wanted.
    budget_bytes: Memory for everything.
    workspace_factor, grid_px, device_bytes, max_tile_px, workers, fixed_bytes, most_rows: Of `graph`, as in
        `NetworkCost`.
    tile_px: Side of the tiles; None: the largest that fits.
    exact: Never cut the overlap of tiles.
    then: The other networks of the chain, each running on the result of the one before.
    extras: What else is done.
    bands: How many planes beside color and alpha run by themselves.
    """
    extras = extras or Extras()
    first = NetworkCost(graph, workspace_factor, grid_px, device_bytes, max_tile_px, workers, fixed_bytes, most_rows)
    chain = (first, *then)
    scale = math.prod(cost.graph.scale for cost in chain)
    out_height, out_width = size.resolve(height, width, native=scale)
    count, notes = count_passes(height, width, (out_height, out_width), scale, clean=size.factor == 1.0)
    order = network_order(chain, count)
    alone = has_alpha + bands
    planes = channels + alone
    arrays = height * width * planes * FLOAT_BYTES
    out_pixels = out_height * out_width
    # Arrays alive at the same time: while a pass runs, during the final resize (source, intermediate, result), and
    # while the result is written. Color is finished before alpha starts, which needs less.
    moments = [arrays + out_pixels * planes * (FLOAT_BYTES + 2 * (depth // 8))]
    sizes = [(height, width)]
    for place in order:
        sizes.append((sizes[-1][0] * chain[place].graph.scale, sizes[-1][1] * chain[place].graph.scale))
    margins = [
        _margin(*sizes[i], chain[place].graph, exact=exact) if extras.wrap else 0 for i, place in enumerate(order)
    ]
    plane_bytes = [channels * rows * columns * FLOAT_BYTES for rows, columns in sizes]
    framed_bytes = [
        channels * (sizes[i][0] + 2 * m) * (sizes[i][1] + 2 * m) * FLOAT_BYTES if m else 0
        for i, m in enumerate(margins)
    ]
    moments += [arrays + plane_bytes[i + 1] + (plane_bytes[i] if i else 0) + framed_bytes[i] for i in range(len(order))]
    rows, columns = sizes[-1]
    halfway = max(rows * out_width, out_height * columns)
    if (rows, columns) != (out_height, out_width):
        moments.append(arrays + plane_bytes[-1] + (halfway + out_pixels) * (channels + 2 * extras.wrap) * FLOAT_BYTES)
    if extras.mixes:  # plane by plane; a wrapped one is padded to at most three times its length
        moments.append(
            arrays
            + out_pixels * planes * FLOAT_BYTES
            + (halfway + out_pixels) * (3 if extras.wrap else 1) * FLOAT_BYTES
        )
    array_bytes = max(moments)

    # An engine keeps a tile's memory until it is closed, so a tile and the peak of the arrays must fit together. The
    # tile gets half of the rest, so that the previous picture can be written and the next one read meanwhile, or all of
    # it if half is too little. The engines of a chain share it.
    fixed = sum(cost.fixed_bytes for cost in chain)
    left = (budget_bytes - array_bytes - fixed) // len(chain)
    passes: list[Pass] = []
    macs = 0.0
    for i, (place, margin) in enumerate(zip(order, margins, strict=True)):
        cost = chain[place]
        rows, columns = sizes[i][0] + 2 * margin, sizes[i][1] + 2 * margin
        bytes_per_px = cost.graph.activation_bytes_per_pixel * cost.workspace_factor
        tiles = partial(
            choose_tiling,
            rows,
            columns,
            cost.graph,
            bytes_per_px=bytes_per_px,
            tile_px=tile_px,
            exact=exact,
            grid_px=cost.grid_px,
            workers=cost.workers,
            most_rows=cost.most_rows,
        )
        tiling = Tiling(0, 0, 0, math.inf)
        for room in (left // 2, left):
            if cost.device_bytes is not None:
                room = min(room, cost.device_bytes // len(chain))
            tiling = tiles(room_bytes=room, max_tile_px=cost.max_tile_px)
            if tiling.tile_px:
                break
        if not tiling.tile_px and cost.device_bytes is not None:
            # The free memory that a device reports may be wrong; its engine raises if memory really is short.
            tiling = tiles(room_bytes=left, max_tile_px=MIN_TILE_PX)
        passes.append(Pass(*sizes[i], tiling, place, margin))
        seen_px = min(tiling.overlap_px, margin) if extras.wrap else tiling.overlap_px
        if tiling.tile_px and seen_px < cost.graph.receptive_field:
            notes += (narrow_note(seen_px, cost.graph, tiling.work, given=tile_px is not None),)
        repeats = 1 if cost.graph.in_channels == channels or channels == 1 else channels
        read_px = rows * columns * (tiling.work if tiling.tile_px else 1.0)
        if margin and tiling.tile_px:  # tiles of nothing but margin do not run
            align = cost.graph.alignment
            padded = (-(-rows // align) * align, -(-columns // align) * align)
            read_px = sum(t.source_px for t in tiles_of(tiling, padded, sizes[i], align, cost.grid_px, margin))
        macs += read_px * extras.turns * (repeats + alone) * cost.graph.macs_per_pixel
    needed = array_bytes + fixed
    for place in set(order):
        needed += max(step.tiling.source_bytes for step in passes if step.place == place)
    if needed > budget_bytes:
        raise too_large(out_height, out_width, needed, budget_bytes)
    return Plan(out_height, out_width, tuple(passes), macs, array_bytes, needed, notes)


def network_order(chain: tuple[NetworkCost, ...], count: int) -> list[int]:
    """The network of each pass: the whole chain `count` times, but networks of scale 1 (repair) only the first time."""
    whole = range(len(chain))
    return [place for time in range(count) for place in whole if time == 0 or chain[place].graph.scale > 1]


def _margin(height: int, width: int, graph: Network, *, exact: bool) -> int:
    """Padding around a seamless picture: the receptive field, cut as the overlap of tiles is."""
    field = graph.receptive_field
    if (
        field > WIDE_FIELD_PX
        and not exact
        and (height + 2 * field) * (width + 2 * field) > MAX_TILE_WORK * height * width
    ):
        field = WIDE_FIELD_PX
    return -(-field // graph.alignment) * graph.alignment
