"""One run of one network over a whole picture, tile by tile, each written straight into the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upres.engines.base import Runner
from upres.ensemble import TURNS, turned
from upres.errors import EngineError
from upres.plan import Load, Pass, Plan
from upres.probed_model import Network
from upres.tiles import Tile
from upres.tiles import plan as plan_tiles

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601; they sum to 1, so a gray answer keeps its level


class Meter:
    """Turns multiply-adds that are done into output pixels of the whole picture: honest over passes, overlap, turns and alpha."""

    def __init__(self, plan: Plan, progress: Progress | None) -> None:
        self._total = plan.pixels
        self._per_mac = plan.pixels / plan.macs if plan.macs else 0.0
        self._done = 0.0
        self._progress = progress

    def advance(self, macs: float) -> None:
        self._done = min(self._done + macs * self._per_mac, float(self._total))
        if self._progress is not None:
            self._progress(int(self._done), self._total)

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total)


@dataclass(frozen=True, slots=True)
class Stage:
    """A network and the engine that runs it."""

    graph: Network
    runner: Runner

    @property
    def load(self) -> Load:
        return Load(self.graph, self.runner.memory_factor, self.runner.grid_px)


def run_pass(stage: Stage, lr: Array, step: Pass, meter: Meter, *, tta: bool = False) -> Array:
    """`lr` h w c -> h*scale w*scale c, not clipped, as `step` plans it; with `tta` the mean over its eight turns and flips.

    Raises `EngineError` naming the tile where an engine fails or gives a value that is not finite.
    """
    height, width, channels = lr.shape
    result = np.empty((height * stage.graph.scale, width * stage.graph.scale, channels), np.float32)
    for turn in range(TURNS if tta else 1):
        _run_tiles(stage, turned(lr, turn), turned(result, turn), step, meter, share=1.0 / TURNS if tta else 1.0, add=turn > 0)
    return result


def _run_tiles(stage: Stage, lr: Array, result: Array, step: Pass, meter: Meter, *, share: float, add: bool) -> None:
    """Put `share` times the network's answer for `lr` into `result` (or add it there); both may be views that are turned."""
    graph = stage.graph
    height, width, channels = lr.shape
    scale, align, margin = graph.scale, graph.alignment, step.margin_px
    padded = _framed(lr, margin, align) if margin else _pad_to(lr, align)
    tiles = plan_tiles(
        *padded.shape[:2], tile_px=step.tiling.tile_px, overlap_px=step.tiling.overlap_px, alignment=align, grid_px=stage.runner.grid_px
    )
    for tile in sorted(tiles, key=_area, reverse=True):  # the largest first: an engine's memory pools then fit all that follow
        source = padded[tile.source_top : tile.source_bottom, tile.source_left : tile.source_right]
        # What is kept, without the margin around the picture and the padding below and right of it.
        top, bottom = max(tile.keep_top, margin), min(tile.keep_bottom, margin + height)
        left, right = max(tile.keep_left, margin), min(tile.keep_right, margin + width)
        if top < bottom and left < right:
            sr = _run_tile(stage, source, tile)
            y, x = (top - tile.source_top) * scale, (left - tile.source_left) * scale
            rows, columns = (bottom - top) * scale, (right - left) * scale
            y_to, x_to = (top - margin) * scale, (left - margin) * scale
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
        meter.advance(source.shape[0] * source.shape[1] * (channels if graph.in_channels == 1 else 1) * graph.macs_per_pixel)


def _run_tile(stage: Stage, source: Array, tile: Tile) -> Array:
    """h w c -> c h*scale w*scale through the network, whatever its channels."""
    graph, runner = stage.graph, stage.runner
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
    box = f"the tile of rows {tile.source_top} to {tile.source_bottom}, columns {tile.source_left} to {tile.source_right}"
    answers: list[Array] = []
    for batch in batches:
        try:
            answer = runner(batch)
        except EngineError as error:
            raise EngineError(f"{box}: {error}") from error
        # The least and the greatest carry a nan or an infinity out of the whole tile, without an array of flags.
        if not (np.isfinite(answer.min()) and np.isfinite(answer.max())):
            raise EngineError(
                f"{runner.name} gave values that are not finite for {box}: the model or the engine is at fault; "
                "try --engine torch, or another model"
            )
        answers.append(answer)
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


def _area(tile: Tile) -> int:
    return (tile.source_bottom - tile.source_top) * (tile.source_right - tile.source_left)


def _pad_to(lr: Array, alignment: int) -> Array:
    """Mirror h and w up to the next multiple of `alignment`; the same array where they are multiples already."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((0, below), (0, right), (0, 0)), mode="reflect") if below or right else lr


def _framed(lr: Array, margin: int, alignment: int) -> Array:
    """The picture with its other side around it, `margin` wide and more below and right up to a multiple of `alignment`."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((margin, margin + below), (margin, margin + right), (0, 0)), mode="wrap")
