"""Where the samples of a result lie over those of its source, and the linear maps between the two grids.

Both grids cover the same extent, so a result of H' rows has H' / H rows for each row of the source, whole or not. The
maps take a block of the source (rows `low` to `high` of all) and give what the whole array would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import contributions

Array = NDArray[np.float32]
Taps = tuple[NDArray[np.intp], NDArray[np.float64]]  # indices and weights, (size_out, taps)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: `size` samples in the source, `out` in the result."""

    size: int
    out: int

    @property
    def factor(self) -> float:
        """Samples of the result for one of the source."""
        return self.out / self.size

    def covered(self, low: int, high: int) -> tuple[int, int]:
        """The samples of the result that samples low to high of the source touch."""
        return math.floor(round(low * self.factor, 9)), min(self.out, math.ceil(round(high * self.factor, 9)))

    def source_of(self, low: int, high: int) -> tuple[int, int]:
        """The samples of the source that samples low to high of the result touch."""
        return math.floor(round(low / self.factor, 9)), min(self.size, math.ceil(round(high / self.factor, 9)))

    def nearest(self, low: int, high: int) -> NDArray[np.intp]:
        """For samples low to high of the result, the sample of the source that their middle lies in."""
        middle = (np.arange(low, high) + 0.5) / self.factor
        return np.minimum(np.floor(middle).astype(np.intp), self.size - 1)

    def enlarging(self, source: tuple[int, int], result: tuple[int, int], native: int = 1) -> Taps:
        """Cubic interpolation from the block `source`, enlarged by `native` already, to the samples `result`."""
        size = self.size * native
        indices, weights = contributions(size, self.out, self.out / size, "cubic", True)
        block = (source[1] - source[0]) * native
        low, high = result
        return np.clip(indices[low:high] - source[0] * native, 0, block - 1), weights[low:high]

    def means(self, source: tuple[int, int], result: tuple[int, int]) -> Taps:
        """The mean of the result over each sample of the block `source`, as a detector has it; `result` covers them."""
        begin = np.arange(*source) * self.factor
        end = begin + self.factor
        first = np.floor(np.round(begin, 9)).astype(np.intp)
        taps = first[:, None] + np.arange(math.ceil(self.factor) + 1)
        weights = np.clip(np.minimum(end[:, None], taps + 1) - np.maximum(begin[:, None], taps), 0.0, None)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.clip(taps - result[0], 0, result[1] - result[0] - 1), weights
