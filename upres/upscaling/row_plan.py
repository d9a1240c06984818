"""Plan a picture that runs from the top, by rows: its memory grows with its width, not with its height.

Every array that is alive at the same time is counted: rows of the input that tiles still need, tiles and their results,
bands that wait for the encoder, and what codecs hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from upres.engines.tiles import source_lengths
from upres.upscaling.output_size import OutputSize, too_large
from upres.upscaling.passes import count_passes
from upres.upscaling.plan import FLOAT_BYTES, NetworkCost, Pass, Plan, network_order
from upres.upscaling.tile_size import LAYER_SHARE, MAX_TILE_WORK, MIN_TILE_PX, WIDE_FIELD_PX, Tiling, narrow_note

_HEIGHTS = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)  # of bands, in LR pixels
_WIDTHS = 40  # cuts of the width that are tried
_DECODED_ROWS = 64 + 128  # of a band that is decoded, and what libvips holds
_ENCODED_ROWS = 640  # that libvips holds while it encodes
_WHOLE_ENCODER = {"webp": 12, "avif": 16}  # bytes per pixel of encoders that hold the whole picture, beside its levels
_POOLS = 1.4  # tiles at the border come first, and an engine's pools keep blocks that fit no later tile
_BANDS = 4  # of the output, alive at once: two in work, one waiting, one in the encoder


@dataclass(frozen=True, slots=True)
class RowJob:
    """What a plan by rows needs to know of a picture and its file.

    height, width: Of the input.
    channels: Of its color, 1 or 3.
    has_alpha: An alpha channel runs through the network too.
    depth: Bits per channel, 8 or 16.
    size: The output size wanted.
    format: Of the output.
    streamed: The input is decoded by rows too; else it is in memory.
    resized: Its result is mixed with a resized input.
    codec_bytes: What the decoder holds of the whole input.
    """

    height: int
    width: int
    channels: int = 3
    has_alpha: bool = False
    depth: int = 8
    size: OutputSize = field(default_factory=OutputSize)
    format: str = "png"
    streamed: bool = True
    resized: bool = False
    codec_bytes: int = 0

    @property
    def planes(self) -> int:
        """Channels with alpha."""
        return self.channels + self.has_alpha


def make_row_plan(
    chain: tuple[NetworkCost, ...], job: RowJob, budget_bytes: int, *, tile_px: int | None = None, exact: bool = False
) -> Plan:
    """Plan a picture by rows. Raises `InputError` if it does not fit into `budget_bytes`.

    chain: The networks, in the order they run.
    job: The picture.
    budget_bytes: Memory for everything, weights too.
    tile_px, exact: As for `make_plan`.
    """
    scale = math.prod(cost.graph.scale for cost in chain)
    height, width = job.size.resolve(job.height, job.width, native=scale)
    count, notes = count_passes(job.height, job.width, (height, width), scale, clean=job.size.factor == 1.0)
    order = network_order(chain, count)
    sizes = [(job.height, job.width)]
    for place in order:
        sizes.append((sizes[-1][0] * chain[place].graph.scale, sizes[-1][1] * chain[place].graph.scale))
    held = sum(cost.fixed_bytes for cost in chain) + _held_bytes(job, (height, width), sizes[-1])
    streams = 1 + job.has_alpha / job.channels  # alpha runs beside the color, through passes of its own
    passes: list[Pass] = []
    macs, needed = 0.0, float(held)
    for index, place in enumerate(order):
        cost, last = chain[place], index == len(order) - 1 and sizes[-1] == (height, width)
        direct = last and not job.has_alpha and not job.resized  # tiles become levels at once
        search = _Search(sizes[index], cost, job.channels, exact, tile_px)
        search.out_bytes = job.channels * (job.depth // 8 if direct else FLOAT_BYTES)
        search.bands = _BANDS if direct else 2
        search.streams = streams
        search.in_memory = index == 0 and not job.streamed
        tiling, taken = search.best((budget_bytes - held) / len(order))
        needed += taken
        passes.append(Pass(*sizes[index], tiling, place))
        if tiling.tile_px and tiling.overlap_px < cost.graph.receptive_field:
            notes += (narrow_note(tiling.overlap_px, cost.graph, tiling.work, given=tile_px is not None),)
        repeats = 1 if cost.graph.in_channels == job.channels or job.channels == 1 else job.channels
        work = tiling.work if tiling.tile_px else 1.0
        macs += sizes[index][0] * sizes[index][1] * work * (repeats + job.has_alpha) * cost.graph.macs_per_pixel
    if needed > budget_bytes:
        raise too_large(height, width, math.ceil(needed), budget_bytes)
    return Plan(height, width, tuple(passes), macs, held, math.ceil(needed), notes, by_rows=True)


def _held_bytes(job: RowJob, size: tuple[int, int], last: tuple[int, int]) -> int:
    """Memory beside the passes: of the input, the codecs, and the resize from `last` to `size` (h, w)."""
    sample = job.depth // 8
    if job.streamed:
        total = _DECODED_ROWS * job.width * job.planes * (sample + FLOAT_BYTES)
    else:  # the levels while they are decoded, the floats, and, with alpha, the bled color and limits of alpha
        copies = 2 * job.channels + 4 if job.has_alpha else job.channels
        total = job.height * job.width * (copies * FLOAT_BYTES + job.planes * sample)
    total += job.codec_bytes
    row = size[1] * job.planes * sample
    total += min(size[0], _ENCODED_ROWS) * row
    if job.format in _WHOLE_ENCODER:
        total += size[0] * row + size[0] * size[1] * _WHOLE_ENCODER[job.format]
    if last != size or job.has_alpha or job.resized:
        shrink = max(1.0, last[0] / size[0])
        rows = (64 + 8 * shrink) * max(last[1], size[1]) + 192 * size[1]
        total += math.ceil(rows * job.planes * FLOAT_BYTES * (2 if job.resized else 1))
    return total


class _Search:
    """The tiles of one pass over a picture of `size` (h, w)."""

    def __init__(
        self, size: tuple[int, int], cost: NetworkCost, channels: int, exact: bool, tile_px: int | None
    ) -> None:
        self._height, self._width = size
        self._cost, self._channels, self._exact, self._tile_px = cost, channels, exact, tile_px
        self.out_bytes, self.bands, self.streams, self.in_memory = 0, _BANDS, 1.0, False

    def best(self, room: float) -> tuple[Tiling, float]:
        """The tiles that take least time within `room`, and their memory; `tile_px` 0 if none fit, with what the
        smallest ones need.
        """
        graph = self._cost.graph
        reach = graph.receptive_field
        tiling, needed = self._best(room, reach + self._cost.grid_px if self._cost.grid_px > 1 else reach)
        if reach > WIDE_FIELD_PX and not self._exact and (tiling.tile_px == 0 or tiling.work > MAX_TILE_WORK):
            tiling, needed = self._best(room, WIDE_FIELD_PX)
        return tiling, needed

    def _best(self, room: float, overlap: int) -> tuple[Tiling, float]:
        least = math.inf
        found: tuple[float, Tiling, float] | None = None
        for (tall, down), (wide, across) in product(self._sides(overlap, down=True), self._sides(overlap, down=False)):
            work = sum(down) * sum(across) / (self._height * self._width)
            for workers in {1, self._cost.workers}:
                needed = self._bytes(tall, max(down), max(across), workers)
                least = min(least, needed)
                threads = self._cost.workers**LAYER_SHARE if workers == 1 else workers
                cost = work / threads
                if needed <= room and (found is None or (cost, needed) < (found[0], found[2])):
                    source = math.ceil(max(down) * max(across) * self._px_bytes) * workers
                    found = cost, Tiling(max(tall, wide), overlap, source, work, workers, (tall, wide)), needed
        return (Tiling(0, overlap, 0, math.inf), least) if found is None else (found[1], found[2])

    @property
    def _px_bytes(self) -> float:
        return self._cost.graph.activation_bytes_per_pixel * self._cost.workspace_factor

    def _sides(self, overlap: int, *, down: bool) -> Iterator[tuple[int, list[int]]]:
        """Kept sides to try along an axis, with what their tiles read."""
        align, length = self._cost.graph.alignment, self._height if down else self._width
        most = min(length, self._cost.max_tile_px or length)
        if self._tile_px is not None:
            kept = {min(self._tile_px, most)}
        elif down:
            kept = {min(side, most) for side in _HEIGHTS} | {most}
        else:
            kept = {-(-length // count) for count in range(-(-length // most), -(-length // most) + _WIDTHS)}
            kept |= {min(side, most) for side in _HEIGHTS}
            kept = {side for side in kept if side >= min(MIN_TILE_PX, most)}
        padded = -(-length // align) * align
        for side in sorted({-(-side // align) * align for side in kept}):
            yield side, source_lengths(padded, side, overlap_px=overlap, alignment=align, grid_px=self._cost.grid_px)

    def _bytes(self, tall: int, reads_down: int, reads_across: int, workers: int) -> float:
        """Memory of the pass with tiles that keep `tall` rows and read so many pixels."""
        scale = self._cost.graph.scale
        held_px = min(reads_down, self._cost.most_rows or reads_down) * reads_across
        tile = _POOLS * held_px * self._px_bytes
        tile += reads_down * reads_across * 1.5 * self._channels * FLOAT_BYTES * (1 + scale**2)
        rows = 0 if self.in_memory else min(self._height, 2 * tall + reads_down + 64)
        source = 1.25 * rows * self._width * self._channels * FLOAT_BYTES
        bands = self.bands + max(0, workers - 2) if tall < self._height else 1
        out = bands * tall * scale * self._width * scale * self.out_bytes
        return workers * tile + (source + out) * self.streams
