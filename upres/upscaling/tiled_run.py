"""One run of one network over a whole picture, tile by tile, each written straight into the result.

Self-ensemble x8 (Timofte et al., "Seven ways to improve example-based single image super resolution", CVPR 2016, section 3.6): the mean of
what a network gives for a picture turned and mirrored in all eight ways, each answer turned back. All of it is views: the answer for a
turned picture is added to the equally turned view of the result, so no second array of the result's size is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutOfMemoryError
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.plan import Pass, Plan, Tiling
from upres.engines.tiles import Tile, divide
from upres.engines.tiles import plan as plan_tiles

Array = NDArray[np.float32]
TURNS = 8  # of the self-ensemble
Progress = Callable[[int, int], None]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601; they sum to 1, so a gray answer keeps its level


class Meter:
    """Turns multiply-adds that are done into output pixels of the whole picture: honest over passes, overlap, turns and alpha."""

    def __init__(self, plan: Plan, progress: Progress | None) -> None:
        self._total = plan.pixels
        self._left = plan.macs
        self._done = 0.0
        self._progress = progress

    def advance(self, macs: float) -> None:
        """So much more is done."""
        if self._left > 0.0:
            self._done += (self._total - self._done) * min(1.0, macs / self._left)
            self._left -= macs
        if self._progress is not None:
            self._progress(int(self._done), self._total)

    def expect(self, macs: float) -> None:
        """So much more than was planned is still to do: what is left of the pixels stands for it."""
        self._left += macs

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total)


def run_pass(network: CheckedNetwork, lr: Array, step: Pass, meter: Meter, *, tta: bool = False) -> Array:
    """`lr` h w c -> h*scale w*scale c, not clipped, as `step` plans it; with `tta` the mean over its eight turns and flips.

    Raises `EngineError` naming the tile where an engine fails, or the network itself gives a value that is not finite; `OutOfMemoryError`
    where memory is short for the smallest tile.
    """
    height, width, channels = lr.shape
    result = np.empty((height * network.graph.scale, width * network.graph.scale, channels), np.float32)
    for turn in range(TURNS if tta else 1):
        _run_tiles(network, turned(lr, turn), turned(result, turn), step, meter, share=1.0 / TURNS if tta else 1.0, add=turn > 0)
    return result


def _run_tiles(network: CheckedNetwork, lr: Array, result: Array, step: Pass, meter: Meter, *, share: float, add: bool) -> None:
    """Put `share` times the network's answer for `lr` into `result` (or add it there); both may be views that are turned."""
    graph, grid = network.graph, network.runner.grid_px
    height, width, channels = lr.shape
    scale, align, margin = graph.scale, graph.alignment, step.margin_px
    padded = _framed(lr, margin, align) if margin else _pad_to(lr, align)
    tall, wide = padded.shape[:2]
    px_macs = (channels if graph.in_channels == 1 else 1) * graph.macs_per_pixel
    tiling = network.fitted(step.tiling, tall, wide)
    tiles = plan_tiles(tall, wide, tile_px=tiling.tile_px, overlap_px=tiling.overlap_px, alignment=align, grid_px=grid)
    if tiling is not step.tiling:
        planned = plan_tiles(tall, wide, tile_px=step.tiling.tile_px, overlap_px=step.tiling.overlap_px, alignment=align, grid_px=grid)
        meter.expect((_work(tiles) - _work(planned)) * px_macs)
    left = _last_first(tiles)
    while left:
        tile = left.pop()
        source = padded[tile.source_top : tile.source_bottom, tile.source_left : tile.source_right]
        # What is kept, without the margin around the picture and the padding below and right of it.
        top, bottom = max(tile.keep_top, margin), min(tile.keep_bottom, margin + height)
        first, last = max(tile.keep_left, margin), min(tile.keep_right, margin + width)
        if top < bottom and first < last:
            try:
                sr = _run_tile(network, source, tile, tiling.source_bytes)
            except (OutOfMemoryError, MemoryError) as error:  # what is finished stays
                left.append(tile)
                before = _work(left)
                tiling, left = _halved(network, step, left, (tall, wide), error)
                meter.expect((_work(left) - before) * px_macs)
                continue
            y, x = (top - tile.source_top) * scale, (first - tile.source_left) * scale
            rows, columns = (bottom - top) * scale, (last - first) * scale
            y_to, x_to = (top - margin) * scale, (first - margin) * scale
            kept = result[y_to : y_to + rows, x_to : x_to + columns]
            for channel in range(channels):  # plane by plane: twice as fast as one copy with c as the shortest axis
                part = sr[channel, y : y + rows, x : x + columns]
                if share != 1.0:
                    part = part * np.float32(share)
                if add:
                    kept[:, :, channel] += part
                else:
                    kept[:, :, channel] = part
            del sr  # not alive while the next tile is computed
        meter.advance(tile.source_px * px_macs)


def _halved(network: CheckedNetwork, step: Pass, left: list[Tile], size: tuple[int, int], error: Exception) -> tuple[Tiling, list[Tile]]:
    """The tiles that are left in smaller ones, after memory was short for the last of them.

    Where the overlap is wide or the picture small, half the side may read as much as before: then it is halved again at once.
    """
    failed, grid, align = left[-1], network.runner.grid_px, network.graph.alignment
    while True:
        network.shrink(max(tile.keep_side for tile in left), _box(failed), error)
        tiling = network.fitted(step.tiling, *size)
        left = _last_first(
            part
            for tile in reversed(left)
            for part in divide(tile, *size, tile_px=tiling.tile_px, overlap_px=tiling.overlap_px, alignment=align, grid_px=grid)
        )
        if left[-1].source_px < failed.source_px:
            return tiling, left


def _run_tile(network: CheckedNetwork, source: Array, tile: Tile, room_bytes: int) -> Array:
    """h w c -> c h*scale w*scale through the network, whatever its channels."""
    graph = network.graph
    channels = source.shape[2]
    beyond = None
    if source.min() < 0.0 or source.max() > 1.0:
        inside = np.clip(source, 0.0, 1.0)
        source, beyond = inside, source - inside
    planes = np.moveaxis(source, 2, 0)
    if graph.in_channels == 3:
        batches = [np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))[None]]
    else:
        batches = [np.ascontiguousarray(planes[c])[None, None] for c in range(channels)]
    answers = network.run(batches, _box(tile), room_bytes)
    if graph.in_channels == 3 and channels == 1:
        result = np.einsum("c,chw->hw", _LUMA, answers[0][0])[None]
    else:
        result = answers[0][0] if len(answers) == 1 else np.concatenate([answer[0] for answer in answers])
    if beyond is not None:
        result += _linear(_linear(np.moveaxis(beyond, 2, 0), graph.scale, 1), graph.scale, 2)
    return result


def _linear(values: Array, scale: int, axis: int) -> Array:
    """Linear interpolation to `scale` times the length of an axis, as `imresize` has it, but value by value: a product of matrices rounds
    by the place of a value in its block, and a tile would show."""
    values = np.moveaxis(values, axis, 0)
    before, after = np.concatenate((values[:1], values[:-1])), np.concatenate((values[1:], values[-1:]))
    result = np.empty((len(values) * scale, *values.shape[1:]), np.float32)
    for phase in range(scale):
        offset = (phase + 0.5) / scale - 0.5
        share = np.float32(abs(offset))
        result[phase::scale] = (np.float32(1.0) - share) * values + share * (before if offset < 0.0 else after)
    return np.moveaxis(result, 0, axis)


def _last_first(tiles: Iterable[Tile]) -> list[Tile]:
    """To be worked off from the end, the largest first: an engine's memory pools then fit all that follow."""
    return sorted(tiles, key=lambda tile: tile.source_px, reverse=True)[::-1]


def _work(tiles: Iterable[Tile]) -> int:
    return sum(tile.source_px for tile in tiles)


def _box(tile: Tile) -> str:
    return f"the tile of rows {tile.source_top} to {tile.source_bottom}, columns {tile.source_left} to {tile.source_right}"


def _pad_to(lr: Array, alignment: int) -> Array:
    """Mirror h and w up to the next multiple of `alignment`; the same array where they are multiples already."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((0, below), (0, right), (0, 0)), mode="reflect") if below or right else lr


def _framed(lr: Array, margin: int, alignment: int) -> Array:
    """The picture with its other side around it, `margin` wide and more below and right up to a multiple of `alignment`."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((margin, margin + below), (margin, margin + right), (0, 0)), mode="wrap")


def turned(picture: Array, turn: int) -> Array:
    """A view of `picture` (h w c) in one of the eight ways, 0 (as it is) to 7: bit 0 flips rows, bit 1 columns, bit 2 swaps the axes.

    What is written into the view of a result lies turned back in the result.
    """
    if turn & 4:
        picture = picture.transpose(1, 0, 2)
    return picture[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
