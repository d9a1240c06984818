"""Run one network over a whole picture, tile by tile, writing each tile straight into the result.

Self-ensemble x8 (Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016,
section 3.6): the mean over the eight rotations and flips of the picture, each result turned back. Everything is a view:
the result for a turned picture is added to the equally turned view of the output, so no second array of the output's
size is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from upres.engines.tiles import Tile, divide
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.plan import Pass, Plan
from upres.upscaling.tile_size import Tiling, tiles_of
from upres.upscaling.workers import run_at_once

Array = NDArray[np.float32]
TURNS = 8  # of the self-ensemble
Progress = Callable[[int, int], None]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601; they sum to 1, so gray keeps its level


class Cancelled(Exception):
    """Raised by an `Upscaler` when `cancel` returned true. The picture is lost; the upscaler remains usable."""


def watched(progress: Progress | None, cancel: Callable[[], bool] | None) -> Progress | None:
    """`progress`, raising `Cancelled` when `cancel` returns true; `cancel` is also called once at the start."""
    if cancel is None:
        return progress
    if cancel():
        raise Cancelled("cancelled before the first tile")

    def watch(done: int, total: int) -> None:
        if done < total and cancel():
            raise Cancelled(f"cancelled at {done:,} of {total:,} pixels")
        if progress is not None:
            progress(done, total)

    return watch


class Meter:
    """Converts finished multiply-adds into output pixels, so that progress is linear over passes, overlaps, turns and
    alpha.
    """

    def __init__(self, plan: Plan, progress: Progress | None) -> None:
        self._total = plan.pixels
        self._left = plan.macs
        self._done = 0.0
        self._progress = progress

    def advance(self, macs: float) -> None:
        """Count `macs` more multiply-adds as done."""
        if self._left > 0.0:
            self._done += (self._total - self._done) * min(1.0, macs / self._left)
            self._left -= macs
        if self._progress is not None:
            self._progress(int(self._done), self._total)

    def expect(self, macs: float) -> None:
        """Add `macs` multiply-adds to the work that remains; the remaining pixels are spread over it."""
        self._left += macs

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total)


def run_pass(network: CheckedNetwork, lr: Array, step: Pass, meter: Meter, *, tta: bool = False) -> Array:
    """Run `network` on `lr` as planned by `step`: h w c -> h*scale w*scale c, not clipped.

    tta: return the mean over the eight rotations and flips.

    Raises `EngineError`, naming the tile, if an engine fails or the network itself returns NaN or infinity;
    `OutOfMemoryError` if the smallest tile does not fit in memory.
    """
    height, width, channels = lr.shape
    result = np.empty((height * network.graph.scale, width * network.graph.scale, channels), np.float32)
    for turn in range(TURNS if tta else 1):
        _run_tiles(
            network,
            turned(lr, turn),
            turned(result, turn),
            step,
            meter,
            share=1.0 / TURNS if tta else 1.0,
            add=turn > 0,
        )
    return result


def _run_tiles(
    network: CheckedNetwork, lr: Array, result: Array, step: Pass, meter: Meter, *, share: float, add: bool
) -> None:
    """Write `share` times the network's result for `lr` into `result`, or add it; both may be rotated views."""
    graph, grid = network.graph, network.runner.grid_px
    height, width, channels = lr.shape
    align, margin = graph.alignment, step.margin_px
    padded = np.moveaxis(_framed(lr, margin, align) if margin else _pad_to(lr, align), 2, 0)
    planes = np.moveaxis(result, 2, 0)
    tall, wide = padded.shape[1:]
    px_macs = (channels if graph.in_channels == 1 else 1) * graph.macs_per_pixel
    tiling = network.fitted(step.tiling, tall, wide)

    def planned(tiling: Tiling) -> list[Tile]:
        return tiles_of(tiling, (tall, wide), (height, width), align, grid, margin)

    tiles = planned(tiling)
    if tiling is not step.tiling:
        meter.expect((_work(tiles) - _work(planned(step.tiling))) * px_macs)

    def run(tile: Tile) -> None:
        if tile.keeps(height, width, margin):  # where tiles were halved, some hold nothing but padding
            sr = run_tile(network, tile.cut(padded), tile, tiling)
            tile.paste(sr, planes, graph.scale, margin_px=margin, share=share, add=add)

    def finished(tile: Tile) -> None:
        meter.advance(tile.source_px * px_macs)

    left = _last_first(tiles)
    while left:
        short = run_at_once(tiling.workers, left, run, finished)
        if short is not None:  # finished tiles stay
            before = _work(left)
            tiling, left = _halved(network, step, left, (tall, wide), short)
            meter.expect((_work(left) - before) * px_macs)


def _halved(
    network: CheckedNetwork, step: Pass, left: list[Tile], size: tuple[int, int], error: Exception
) -> tuple[Tiling, list[Tile]]:
    """Split the remaining tiles into smaller ones, after memory ran out for the last of them.

    With a wide overlap or a small picture, tiles of half the side may read as many pixels as before: they are halved
    again.
    """
    failed, grid, align = left[-1], network.runner.grid_px, network.graph.alignment
    while True:
        network.shrink(max(tile.keep_side for tile in left), box(failed), error)
        tiling = network.fitted(step.tiling, *size)
        left = _last_first(
            part
            for tile in reversed(left)
            for part in divide(
                tile, *size, tile_px=tiling.kept, overlap_px=tiling.overlap_px, alignment=align, grid_px=grid
            )
        )
        if left[-1].source_px < failed.source_px:
            return tiling, left


def run_tile(network: CheckedNetwork, planes: Array, tile: Tile, tiling: Tiling) -> Array:
    """Run one tile, c h w -> c h*scale w*scale, whatever the channels of the network."""
    graph = network.graph
    channels = planes.shape[0]
    beyond = None
    if planes.min() < 0.0 or planes.max() > 1.0:
        inside = np.clip(planes, 0.0, 1.0)
        planes, beyond = inside, planes - inside
    if graph.in_channels == 3:
        batches = [np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))[None]]
    else:
        batches = [np.ascontiguousarray(planes[c])[None, None] for c in range(channels)]
    answers = network.run(batches, box(tile), tiling.tile_bytes, alone=tiling.workers > 1)
    if graph.in_channels == 3 and channels == 1:
        result = np.einsum("c,chw->hw", _LUMA, answers[0][0])[None]
    else:
        result = answers[0][0] if len(answers) == 1 else np.concatenate([answer[0] for answer in answers])
    if beyond is not None:
        result = result + _linear(
            _linear(beyond, graph.scale, 1), graph.scale, 2
        )  # a memory of tiles keeps the answers
    return result


def _linear(values: Array, scale: int, axis: int) -> Array:
    """Linear interpolation of one axis to `scale` times its length, as `imresize` does it, but element by element: the
    rounding of a matrix product depends on an element's position, and tiles would show.
    """
    values = np.moveaxis(values, axis, 0)
    before, after = np.concatenate((values[:1], values[:-1])), np.concatenate((values[1:], values[-1:]))
    result = np.empty((len(values) * scale, *values.shape[1:]), np.float32)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        share = np.float32(abs(offset))
        result[phase::scale] = (np.float32(1.0) - share) * values + share * (before if offset < 0.0 else after)
    return np.moveaxis(result, 0, axis)


def _last_first(tiles: Iterable[Tile]) -> list[Tile]:
    """Sorted so that `pop` returns the largest tile first: the engine's memory pools then fit all later tiles."""
    return sorted(tiles, key=lambda tile: tile.source_px, reverse=True)[::-1]


def _work(tiles: Iterable[Tile]) -> int:
    return sum(tile.source_px for tile in tiles)


def box(tile: Tile) -> str:
    return (
        f"the tile of rows {tile.source_top} to {tile.source_bottom}, columns {tile.source_left} to {tile.source_right}"
    )


def _pad_to(lr: Array, alignment: int) -> Array:
    """Pad h and w to multiples of `alignment` by reflection; returns the same array if they are multiples already."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((0, below), (0, right), (0, 0)), mode="reflect") if below or right else lr


def _framed(lr: Array, margin: int, alignment: int) -> Array:
    """Pad by wrapping around: `margin` on each side, and more below and right up to a multiple of `alignment`."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((margin, margin + below), (margin, margin + right), (0, 0)), mode="wrap")


def turned(picture: Array, turn: int) -> Array:
    """A view of `picture` (h w c) in one of eight orientations, 0 (unchanged) to 7: bit 0 flips rows, bit 1 columns,
    bit 2 swaps axes.

    What is written into such a view of the output is turned back in the output.
    """
    if turn & 4:
        picture = picture.transpose(1, 0, 2)
    return picture[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
