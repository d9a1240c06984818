"""A picture in, a larger picture out: passes, tiles, gray, alpha, and the last resize to the exact size asked for.

What is decided here, and why:

- Gray runs through a network of three channels as three equal ones; the answer is their BT.601 luma, so gray stays gray.
- Alpha is run through the network as a gray picture, because its edges must be as sharp as those of the colour; then every value is held
  between the least and the greatest of its 3 x 3 neighbours in the LR alpha, so that opaque and transparent areas stay exactly that.
  The colour under transparent pixels is bled from the visible ones first, so no halo shows.
- Colours outside sRGB (a saturated red of Display P3) lie outside [0,1], where no network was trained: it gets them clipped, and what was
  cut off is enlarged by linear interpolation and added again.
- A factor that the network does not have is reached by running it (twice at most) and then one antialiased cubic resize.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upres import engines
from upres.engines.base import Runner
from upres.errors import EngineError, ModelError, UsageError
from upres.graph import Graph
from upres.memory import available_bytes
from upres.picture import Picture, bleed_alpha
from upres.plan import Plan, Tiling, make_plan
from upres.resize import imresize
from upres.target import TargetSize
from upres.tiles import Tile
from upres.tiles import plan as plan_tiles

Array = NDArray[np.float32]
Progress = Callable[[int, int], None]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601; they sum to 1, so a gray answer keeps its level
_FREE_SHARE = 0.8  # of the free memory; the rest is for the codecs and for what other programs take meanwhile
_CALIBRATION_MACS = 8e9
_GLANCE_MACS = 1e9


class Upscaler:
    """Runs one network over pictures of any size within a memory budget.

    `memory_bytes` bounds the picture's arrays and the network's activations together; None measures the free memory at each picture.
    `tile_px` is the side of a tile in LR pixels; None chooses the largest that fits. `runner` replaces the engine (tests). Raises
    `UsageError` for a tile below 1, `ModelError` for a network that does not map 3 channels to 3, or 1 to 1.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        engine: str = "auto",
        threads: int = 0,
        exact: bool = False,
        tile_px: int | None = None,
        memory_bytes: int | None = None,
        runner: Runner | None = None,
    ) -> None:
        if tile_px is not None and tile_px < 1:
            raise UsageError(f"a tile must be at least 1 pixel wide, got {tile_px}")
        if graph.in_channels != graph.out_channels or graph.in_channels not in (1, 3):
            raise ModelError(
                f"the network takes {graph.in_channels} channels and gives {graph.out_channels}; a picture needs 3 and 3, or 1 and 1 (gray)"
            )
        self.graph = graph
        self.exact = exact
        self.tile_px = tile_px
        self.memory_bytes = memory_bytes
        self._speed: float | None = None
        self._glance: float | None = None
        self.runner = engines.load(graph, engine=engine, threads=threads, exact=exact) if runner is None else runner

    def close(self) -> None:
        """Free the engine's memory; the upscaler cannot be used afterwards."""
        self.runner.close()

    def budget_bytes(self) -> int:
        """Memory that one picture may take now, in all."""
        return self.memory_bytes if self.memory_bytes is not None else int(_FREE_SHARE * available_bytes())

    def plan(
        self, height: int, width: int, *, channels: int = 3, has_alpha: bool = False, depth: int = 8, size: TargetSize | None = None
    ) -> Plan:
        """What a picture of (height, width) will take. Raises `InputError` where it does not fit into the memory."""
        return make_plan(
            self.graph,
            height,
            width,
            channels=channels,
            has_alpha=has_alpha,
            depth=depth,
            size=size or TargetSize(),
            budget_bytes=self.budget_bytes(),
            workspace_factor=self.runner.memory_factor,
            tile_px=self.tile_px,
            exact=self.exact,
            grid_px=self.runner.grid_px,
        )

    def macs_per_second(self, calibration_macs: float = _CALIBRATION_MACS) -> float:
        """Speed of the loaded engine, measured on the first call with a gray tile of about that many multiply-adds; remembered."""
        if self._speed is None:
            # The first run also allocates, and another program may disturb any of them: the fastest tells most.
            self._speed = max(self._measure_speed(calibration_macs) for _ in range(3))
        return self._speed

    def glance_macs_per_second(self) -> float:
        """A lower bound of that speed in a tenth of the time: one run of a small tile. What was measured better already is returned."""
        if self._speed is not None:
            return self._speed
        if self._glance is None:
            self._glance = self._measure_speed(_GLANCE_MACS)
        return self._glance

    def _measure_speed(self, macs: float) -> float:
        side = int(np.clip(np.sqrt(macs / self.graph.macs_per_pixel), 16, 512))
        side = max(1, side // self.graph.alignment) * self.graph.alignment
        tile = np.full((1, self.graph.in_channels, side, side), 0.5, np.float32)
        start = time.perf_counter()
        self.runner(tile)
        return self.graph.macs_per_pixel * side * side / max(time.perf_counter() - start, 1e-6)

    def upscale_array(self, lr: Array, progress: Progress | None = None) -> Array:
        """One pass of the network: `lr` h w c in [0,1], c 1 or 3 -> h*scale w*scale c, not clipped. `progress(done, total)` counts output
        pixels. Raises `EngineError` naming the tile if a value that is not finite comes back."""
        height, width, channels = lr.shape
        plan = self.plan(height, width, channels=channels, size=TargetSize(factor=float(self.graph.scale)))
        return self._run(np.ascontiguousarray(lr, np.float32), plan.passes[0].tiling, _Meter(plan, self.graph, progress))

    def __call__(self, picture: Picture, *, size: TargetSize | None = None, progress: Progress | None = None) -> Picture:
        """Upscale a picture to `size` (default: the model's scale). Keeps gray, depth, profile, metadata and DPI; adds to `notes`.

        Raises `InputError` where the memory cannot hold it (before any work), `EngineError` for a tile that comes back non-finite.
        """
        height, width, channels = picture.pixels.shape
        alpha = picture.alpha
        translucent = alpha is not None and not _is_constant(alpha)
        plan = self.plan(height, width, channels=channels, has_alpha=translucent, depth=picture.depth, size=size)
        meter = _Meter(plan, self.graph, progress)
        pixels = picture.pixels
        if alpha is not None and translucent:
            pixels = bleed_alpha(pixels, alpha)
        pixels = self._enlarge(pixels, plan, meter)
        if alpha is not None:
            if translucent:
                alpha = self._enlarge_alpha(alpha, plan, meter)
            else:
                alpha = np.full((plan.height, plan.width), alpha.flat[0], np.float32)
        meter.finish()
        return replace(picture, pixels=pixels, alpha=alpha, notes=picture.notes + plan.notes)

    def _enlarge(self, pixels: Array, plan: Plan, meter: _Meter) -> Array:
        """All passes and the last resize: h w c -> plan.height plan.width c."""
        for step in plan.passes:
            pixels = self._run(pixels, step.tiling, meter)
        if pixels.shape[:2] != (plan.height, plan.width):
            pixels = imresize(pixels, size=(plan.height, plan.width))
        return pixels

    def _enlarge_alpha(self, alpha: Array, plan: Plan, meter: _Meter) -> Array:
        if plan.height < alpha.shape[0]:  # made smaller: an output pixel is the mean of more than 3 x 3
            return np.clip(self._enlarge(alpha[:, :, None], plan, meter)[:, :, 0], 0.0, 1.0)
        low, high = alpha, alpha
        for shift_axis in (0, 1):  # the 3 x 3 least and greatest are separable
            low, high = _spread(low, np.minimum, shift_axis), _spread(high, np.maximum, shift_axis)
        result = self._enlarge(alpha[:, :, None], plan, meter)[:, :, 0]
        rows = np.minimum((np.arange(plan.height) * alpha.shape[0]) // plan.height, alpha.shape[0] - 1)
        columns = np.minimum((np.arange(plan.width) * alpha.shape[1]) // plan.width, alpha.shape[1] - 1)
        for y, source in enumerate(rows):  # row by row: no further array of the output's size
            np.clip(result[y], low[source][columns], high[source][columns], out=result[y])
        return result

    def _run(self, lr: Array, tiling: Tiling, meter: _Meter) -> Array:
        """One pass over h w c, tile by tile, each written straight into the result."""
        height, width, channels = lr.shape
        scale, align = self.graph.scale, self.graph.alignment
        padded = _pad_to(lr, align)
        result = np.empty((height * scale, width * scale, channels), np.float32)
        tiles = plan_tiles(
            *padded.shape[:2], tile_px=tiling.tile_px, overlap_px=tiling.overlap_px, alignment=align, grid_px=self.runner.grid_px
        )
        for tile in sorted(tiles, key=_area, reverse=True):  # the largest first: an engine's memory pools then fit all that follow
            source = padded[tile.source_top : tile.source_bottom, tile.source_left : tile.source_right]
            bottom, right = min(tile.keep_bottom, height), min(tile.keep_right, width)
            if tile.keep_top < bottom and tile.keep_left < right:
                sr = self._run_tile(source, tile)
                top, left = (tile.keep_top - tile.source_top) * scale, (tile.keep_left - tile.source_left) * scale
                rows, columns = (bottom - tile.keep_top) * scale, (right - tile.keep_left) * scale
                kept = result[tile.keep_top * scale : bottom * scale, tile.keep_left * scale : right * scale]
                for channel in range(channels):  # plane by plane: twice as fast as one copy with c as the shortest axis
                    kept[:, :, channel] = sr[channel, top : top + rows, left : left + columns]
                del sr  # not alive while the next tile is computed
            meter.advance(source.shape[0] * source.shape[1] * (channels if self.graph.in_channels == 1 else 1))
        return result

    def _run_tile(self, source: Array, tile: Tile) -> Array:
        """h w c -> c h*scale w*scale through the network, whatever its channels."""
        channels = source.shape[2]
        beyond = None
        if source.min() < 0.0 or source.max() > 1.0:
            inside = np.clip(source, 0.0, 1.0)
            source, beyond = inside, source - inside
        planes = np.moveaxis(source, 2, 0)
        if self.graph.in_channels == 3:
            batches = [np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])))[None]]
        else:
            batches = [np.ascontiguousarray(planes[c])[None, None] for c in range(channels)]
        box = f"the tile of rows {tile.source_top} to {tile.source_bottom}, columns {tile.source_left} to {tile.source_right}"
        answers: list[Array] = []
        for batch in batches:
            try:
                answer = self.runner(batch)
            except EngineError as error:
                raise EngineError(f"{box}: {error}") from error
            # The least and the greatest carry a nan or an infinity out of the whole tile, without an array of flags.
            if not (np.isfinite(answer.min()) and np.isfinite(answer.max())):
                raise EngineError(
                    f"{self.runner.name} gave values that are not finite for {box}: the model or the engine is at fault; "
                    "try --engine torch, or another model"
                )
            answers.append(answer)
        if self.graph.in_channels == 3 and channels == 1:
            result = np.einsum("c,chw->hw", _LUMA, answers[0][0])[None]
        else:
            result = answers[0][0] if len(answers) == 1 else np.concatenate([answer[0] for answer in answers])
        if beyond is not None:
            result += np.moveaxis(imresize(beyond, float(self.graph.scale), kernel="linear"), 2, 0)
        return result


class _Meter:
    """Turns source pixels that a network has run over into output pixels of the whole picture: honest over passes, overlap and alpha."""

    def __init__(self, plan: Plan, graph: Graph, progress: Progress | None) -> None:
        self._total = plan.pixels
        self._per_source = plan.pixels * graph.macs_per_pixel / plan.macs if plan.macs else 0.0
        self._done = 0.0
        self._progress = progress

    def advance(self, source_pixels: int) -> None:
        self._done = min(self._done + source_pixels * self._per_source, float(self._total))
        if self._progress is not None:
            self._progress(int(self._done), self._total)

    def finish(self) -> None:
        if self._progress is not None:
            self._progress(self._total, self._total)


def _area(tile: Tile) -> int:
    return (tile.source_bottom - tile.source_top) * (tile.source_right - tile.source_left)


def _is_constant(alpha: Array) -> bool:
    return bool(alpha.min() == alpha.max())


def _spread(values: Array, pick: Callable[[Array, Array], Array], axis: int) -> Array:
    """The least (or greatest) of each value and its two neighbours along `axis`."""
    result = values.copy()
    ahead, behind = [slice(None)] * 2, [slice(None)] * 2
    ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
    result[tuple(ahead)] = pick(result[tuple(ahead)], values[tuple(behind)])
    result[tuple(behind)] = pick(result[tuple(behind)], values[tuple(ahead)])
    return result


def _pad_to(lr: Array, alignment: int) -> Array:
    """Mirror h and w up to the next multiple of `alignment`; the same array where they are multiples already."""
    below, right = -lr.shape[0] % alignment, -lr.shape[1] % alignment
    return np.pad(lr, ((0, below), (0, right), (0, 0)), mode="reflect") if below or right else lr
