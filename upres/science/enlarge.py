"""Enlarge blocks of measured values: the network on mapped values, then the means of the source, then its gaps.

A detector's sample is the mean over its area. So the result is corrected until the mean over the area of each source
sample is that sample again (iterative back-projection; Irani and Peleg, "Improving resolution by image registration",
CVGIP 1991): the network may move detail, but not the mean of a region.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import UsageError
from upres.images.io import Picture
from upres.images.resize import weighted
from upres.science.grid import Axis
from upres.science.values import FILL_REACH_PX, Mapping, filled
from upres.upscaling.output_size import OutputSize
from upres.upscaling.passes import count_passes
from upres.upscaling.upscaler import Upscaler

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
_ROUNDS = 4  # of back-projection: each leaves at most half of the finest difference and far less of a region's mean
_ROUND_REACH_PX = 3  # source samples that a round looks around
_LOCK_REACH_PX = 24  # of color lock and blend
_WIDEST_PX = 64  # overlap of windows for networks that see further, unless `exact`
_BLOCK_PX = 64  # windows begin at multiples of it in the source: of every network's alignment, and of `filled`


@dataclass(frozen=True, slots=True)
class Box:
    """Samples top to bottom and left to right of an array."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left

    @property
    def rows(self) -> tuple[int, int]:
        return self.top, self.bottom

    @property
    def columns(self) -> tuple[int, int]:
        return self.left, self.right


class Enlarger:
    """Enlarges arrays of one size by one upscaler.

    upscaler: What runs; seamless pictures (`wrap`) have no meaning here.
    height, width: Of the source.
    size: Of the result, at least as large.
    has_gaps: Whether values may be missing.

    Raises `UsageError` for a result that is smaller, and for `wrap`.
    """

    def __init__(self, upscaler: Upscaler, height: int, width: int, size: tuple[int, int], *, has_gaps: bool) -> None:
        if size[0] < height or size[1] < width:
            raise UsageError(
                f"measured data of {width} x {height} is enlarged only, got a size of {size[1]} x {size[0]}"
            )
        if upscaler.options.wrap:
            raise UsageError("`wrap` is for seamless textures, not for measured data; leave it out")
        self.upscaler, self.rows, self.columns = upscaler, Axis(height, size[0]), Axis(width, size[1])
        scale = upscaler.scale
        count, self.notes = count_passes(height, width, size, scale, clean=size == (height, width))
        self.native = scale**count
        self.halo_px = self._halo(count) + (FILL_REACH_PX if has_gaps else 0)

    def _halo(self, passes: int) -> int:
        options, area, reach = self.upscaler.options, 1.0, 0.0
        for time in range(passes):
            for network in self.upscaler.networks:
                if time == 0 or network.graph.scale > 1:
                    reach += network.graph.receptive_field / area
                    area *= network.graph.scale
        if not options.engine_options.exact:
            reach = min(reach, _WIDEST_PX)
        mixed = _LOCK_REACH_PX if options.color_lock or options.blend < 1.0 else 0
        return math.ceil(reach) + _ROUNDS * _ROUND_REACH_PX + mixed

    def source_box(self, result: Box) -> Box:
        """The samples of the source that `enlarge` needs for the box `result`."""
        top, bottom = self._around(self.rows, result.top, result.bottom)
        left, right = self._around(self.columns, result.left, result.right)
        return Box(top, bottom, left, right)

    def _around(self, axis: Axis, low: int, high: int) -> tuple[int, int]:
        first, last = axis.source_of(low, high)
        begin = max(0, first - self.halo_px) // _BLOCK_PX * _BLOCK_PX
        return begin, min(axis.size, -(-(last + self.halo_px) // _BLOCK_PX) * _BLOCK_PX)

    def enlarge(
        self,
        values: NDArray[Any],
        valid: Mask,
        mappings: Sequence[Mapping],
        result: Box,
        *,
        forbidden: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[NDArray[Any], Mask]:
        """The values of the box `result`, h' w' c, and which of them are valid.

        values: h w c of `source_box(result)`, c 1 or 3 (colors, which go through the network together).
        valid: h w c.
        mappings: One a band.
        forbidden: The value of a gap, which no valid one gets.
        progress: As of `Upscaler`.

        Gaps are those of the source, sample by sample, and keep its values there.
        """
        source, bands = self.source_box(result), range(values.shape[2])
        x = np.stack([filled(mappings[b].to_network(values[:, :, b]), valid[:, :, b]) for b in bands], axis=2)
        ends = np.array([mapping.ends for mapping in mappings], np.float32).T
        sr = self._crop(self._corrected(x, valid, (ends[0], ends[1]), source, progress), source, result)
        near = np.ix_(self.rows.nearest(*result.rows) - source.top, self.columns.nearest(*result.columns) - source.left)
        known = valid[near]
        out = np.empty((*result.shape, values.shape[2]), values.dtype)
        for b in bands:
            made = mappings[b].from_network(sr[:, :, b], values.dtype, forbidden)
            out[:, :, b] = np.where(known[:, :, b], made, values[:, :, b][near])
        return out, known

    def nearest(self, values: NDArray[Any], result: Box) -> NDArray[Any]:
        """The box `result` of `values` (h w c of its `source_box`), each sample repeated: for classes and palettes."""
        source = self.source_box(result)
        rows, columns = self.rows.nearest(*result.rows), self.columns.nearest(*result.columns)
        return values[np.ix_(rows - source.top, columns - source.left)]

    def _corrected(
        self, x: Array, valid: Mask, ends: tuple[Array, Array], source: Box, progress: Callable[[int, int], None] | None
    ) -> Array:
        """The result for all that `source` covers, with the means of x and nothing beyond `ends`."""
        sr = self.upscaler(Picture(x), size=OutputSize(factor=float(self.native)), progress=progress).pixels
        high, wide = self.rows.covered(*source.rows), self.columns.covered(*source.columns)
        native = (source.shape[0] * self.native, source.shape[1] * self.native)
        if (high[1] - high[0], wide[1] - wide[0]) != native or self.rows.factor != self.native:
            sr = weighted(sr, 0, *self.rows.enlarging(source.rows, high, self.native))
            sr = weighted(sr, 1, *self.columns.enlarging(source.columns, wide, self.native))
        down = self.rows.means(source.rows, high), self.columns.means(source.columns, wide)
        up = self.rows.enlarging(source.rows, high), self.columns.enlarging(source.columns, wide)
        for _ in range(_ROUNDS):
            np.clip(sr, *ends, out=sr)
            left = np.where(valid, x - weighted(weighted(sr, 1, *down[1]), 0, *down[0]), np.float32(0.0))
            sr += weighted(weighted(left, 0, *up[0]), 1, *up[1])
        np.clip(sr, *ends, out=sr)
        means = weighted(weighted(sr, 1, *down[1]), 0, *down[0])
        return self._exact(sr, np.where(valid, x, means), means, ends, source)

    def _exact(self, sr: Array, x: Array, means: Array, ends: tuple[Array, Array], source: Box) -> Array:
        """`sr`, whose means over source samples are `means`, with the means x: what is left by now shows no samples.

        Where that would go beyond `ends`, the detail within the sample is reduced.
        """
        high, wide = self.rows.covered(*source.rows), self.columns.covered(*source.columns)
        rows, columns = self.rows.nearest(*high) - source.top, self.columns.nearest(*wide) - source.left
        near = np.ix_(rows, columns)
        detail = sr - means[near]
        first = [
            np.searchsorted(axis, np.arange(size)) for axis, size in zip((rows, columns), source.shape, strict=True)
        ]
        most = np.maximum.reduceat(np.maximum.reduceat(detail, first[0], axis=0), first[1], axis=1)
        least = np.minimum.reduceat(np.minimum.reduceat(detail, first[0], axis=0), first[1], axis=1)
        tiny = np.float32(1e-12)
        room = np.minimum((ends[1] - x) / np.maximum(most, tiny), (x - ends[0]) / np.maximum(-least, tiny))
        detail *= np.clip(room, 0.0, 1.0)[near]
        detail += x[near]
        return detail

    def _crop(self, sr: Array, source: Box, result: Box) -> Array:
        top, left = self.rows.covered(*source.rows)[0], self.columns.covered(*source.columns)[0]
        return sr[result.top - top : result.bottom - top, result.left - left : result.right - left]
