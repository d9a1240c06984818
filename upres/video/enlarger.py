"""Upscale the frames of one video: one plan for all of them, and nothing is computed twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from upres.engines.fork import begin_engine
from upres.images.io import Picture
from upres.upscaling.enlarge import enlarge_picture, is_translucent
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Plan
from upres.upscaling.postprocess import resize
from upres.upscaling.tile_memory import TileMemory
from upres.upscaling.tiled_run import Meter
from upres.upscaling.upscaler import Upscaler
from upres.video.reader import SourceFrame
from upres.video.yuv import Array, Coding, Levels, from_rgb, luma, to_rgb


@dataclass(frozen=True, slots=True)
class Result:
    """An upscaled frame: `h w c` in [0, 1], not clipped, and alpha `h w` or None."""

    pixels: Array
    alpha: Array | None


class FrameEnlarger:
    """Upscales frames to (height, width).

    upscaler: Its model; it must be of no other use meanwhile.
    height, width: Of the results.
    progress: Called as `progress(done, total)` in output pixels of a frame after each tile; what it raises propagates.

    `reused` counts frames that equal the one before, and were not computed.
    """

    def __init__(
        self, upscaler: Upscaler, height: int, width: int, progress: Callable[[int, int], None] | None = None
    ) -> None:
        self.reused = 0
        self.notes: dict[str, None] = {}  # in order, each once
        self._upscaler, self._size, self._progress = upscaler, (height, width), progress
        self._plans: dict[tuple[int, ...], Plan] = {}
        self._last: tuple[str, Result] | None = None
        self._memories: list[TileMemory] = []
        for network in upscaler.networks:
            network.memory = TileMemory()
            self._memories.append(network.memory)

    def __call__(self, frame: SourceFrame, pixels: Array, alpha: Array | None) -> Result:
        """Upscale `pixels` h w c and `alpha`, which are those of `frame`. Raises as an `Upscaler` does."""
        if self._last is not None and self._last[0] == frame.digest:
            self.reused += 1
            return self._last[1]
        begin_engine()
        picture = Picture(np.ascontiguousarray(pixels), alpha)
        plan = self._plan(picture)
        for network in self._upscaler.networks:
            network.begin()
        result = enlarge_picture(
            picture, self._upscaler.networks, plan, self._upscaler.options, Meter(plan, self._progress)
        )
        for network in self._upscaler.networks:
            self.notes.update(dict.fromkeys(network.notes()))
        self._last = frame.digest, self._fitted(result)
        return self._last[1]

    @property
    def static_share(self) -> float:
        """Share of the pixels of computed frames whose tiles had not changed, and were not computed."""
        reused = sum(memory.reused for memory in self._memories)
        total = reused + sum(memory.computed for memory in self._memories)
        return reused / total if total else 0.0

    def tilings(self, height: int, width: int, channels: int) -> list[list[int]]:
        """For each pass over a frame of (height, width): side and overlap of the tiles, height and width kept."""
        plan = self._plan(Picture(np.zeros((height, width, channels), np.float32)))
        return [[step.tiling.tile_px, step.tiling.overlap_px, *step.tiling.kept] for step in plan.passes]

    def use_tilings(self, height: int, width: int, channels: int, tilings: Sequence[Sequence[int]]) -> None:
        """Have the tiles of an earlier run, whatever memory is free now: what is rounded stays equal to the bit."""
        plan = self._plan(Picture(np.zeros((height, width, channels), np.float32)))
        if len(tilings) == len(plan.passes):
            both = zip(plan.passes, tilings, strict=True)
            passes = tuple(
                replace(step, tiling=replace(step.tiling, tile_px=tile, overlap_px=overlap, kept_px=(tall, wide)))
                for step, (tile, overlap, tall, wide) in both
            )
            self._plans[height, width, channels, False] = replace(plan, passes=passes)

    def close(self) -> None:
        """Free the memory of tiles."""
        for network in self._upscaler.networks:
            network.memory = None
        for memory in self._memories:
            memory.forget()
        self._last = None

    def _plan(self, picture: Picture) -> Plan:
        height, width, channels = picture.pixels.shape
        veil = is_translucent(picture)
        key = (height, width, channels, veil)
        if key not in self._plans:
            tall, wide = self._size
            asked = OutputSize(factor=min(64.0, max(tall / height, wide / width)))
            plan = self._upscaler.plan(height, width, channels=channels, has_alpha=veil, size=asked)
            self._plans[key] = replace(plan, height=tall, width=wide)
            self.notes.update(dict.fromkeys(plan.notes))
        return self._plans[key]

    def _fitted(self, result: Picture) -> Result:
        alpha = result.alpha
        if result.pixels.shape[:2] == self._size:
            return Result(result.pixels, alpha)
        if alpha is not None:
            alpha = resize(alpha[:, :, None], self._size)[:, :, 0]
        return Result(resize(result.pixels, self._size), alpha)


def decoded(frame: SourceFrame) -> tuple[Array, Array | None]:
    """The picture of a frame, for `FrameEnlarger`."""
    return to_rgb(frame.planes, frame.coding)


def encoded(result: Result, coding: Coding) -> list[Levels]:
    """The planes of a result in another coding: gray becomes three equal channels, and color its BT.601 luma."""
    pixels = result.pixels
    if coding.matrix == "gray" and pixels.shape[2] == 3:
        pixels = luma(pixels)
    elif coding.matrix != "gray" and pixels.shape[2] == 1:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return from_rgb(pixels, result.alpha, coding)
