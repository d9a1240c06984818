"""The values of a band as a network takes them, and back: an affine mapping, holes filled, the source's means kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_SHARE = 0.001  # of the values, at either end, that may lie outside [0, 1]: a few outliers must not darken all others
_FAR = 1.5  # times the range without them: where extremes lie further apart, they are outliers
_LEVELS = 4  # holes are filled up to 2^4 samples from the nearest value
FILL_REACH_PX = 3 << _LEVELS  # samples from which a filled one depends on values


@dataclass(frozen=True, slots=True)
class Mapping:
    """x = (value - offset) / gain. The bulk of the values is in [0, 1]; `least` and `most` are the extremes of all."""

    offset: float
    gain: float
    least: float
    most: float

    def to_network(self, values: NDArray[Any]) -> Array:
        """Values as x; those that are not finite as 0."""
        x = (values.astype(np.float64) - self.offset) / self.gain
        return np.where(np.isfinite(x), x, 0.0).astype(np.float32)

    def from_network(self, x: Array, dtype: np.dtype[Any], forbidden: float | None = None) -> NDArray[Any]:
        """x as values of `dtype`, none beyond the extremes, integers rounded, none equal to `forbidden`."""
        values = np.clip(x.astype(np.float64) * self.gain + self.offset, self.least, self.most)
        if dtype.kind in "iu":
            values = np.rint(values)
        result: NDArray[Any] = values.astype(dtype)
        if forbidden is not None and np.isfinite(forbidden):
            hit = result == np.asarray(forbidden).astype(dtype)
            if hit.any():  # a value must not become a gap
                above = self._beside(np.asarray(forbidden).astype(dtype), dtype)
                result[hit] = above
        return result

    def _beside(self, value: NDArray[Any], dtype: np.dtype[Any]) -> Any:
        """The next value that is in the range of the source."""
        up = float(value) < self.most
        if dtype.kind in "iu":
            return int(value) + (1 if up else -1)
        return np.nextafter(value, np.asarray(np.inf if up else -np.inf, dtype))

    @property
    def ends(self) -> tuple[float, float]:
        """The extremes as x."""
        return (self.least - self.offset) / self.gain, (self.most - self.offset) / self.gain

    @property
    def words(self) -> str:
        """The mapping as it is written into the result."""
        return f"x = (value - {self.offset:.9g}) / {self.gain:.9g}"


class Statistics:
    """Extremes and quantiles of the values of a band, from its blocks."""

    def __init__(self, dtype: np.dtype[Any], step: int = 1) -> None:
        """step: Every how many samples one is taken for the quantiles."""
        self._dtype, self._step = dtype, max(1, step)
        self._least, self._most = np.inf, -np.inf
        self._some: list[NDArray[np.float64]] = []

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Count the valid values of a block h w."""
        found = values[valid]
        if found.size:
            self._least, self._most = min(self._least, float(found.min())), max(self._most, float(found.max()))
            self._some.append(found[:: self._step].astype(np.float64))

    def mapping(self) -> Mapping:
        """8 bits are mapped as pictures are, 255 to 1; others by the range in use."""
        if not self._some:
            return Mapping(0.0, 1.0, 0.0, 0.0)
        least, most = self._least, self._most
        if self._dtype == np.uint8:
            return Mapping(0.0, 255.0, least, most)
        low, high = np.quantile(np.concatenate(self._some), [_SHARE, 1.0 - _SHARE])
        if _FAR * (high - low) >= most - least or not high > low:
            low, high = least, most
        gain = float(high - low)
        return Mapping(float(low), gain if gain > 0.0 and np.isfinite(gain) else 1.0, least, most)


def filled(x: Array, valid: NDArray[np.bool_]) -> Array:
    """x (h w) with holes filled from the values around them, so that nothing of a gap's value reaches a neighbor.

    Means of 2 x 2 samples, then of those, up to 2^4; each hole takes the finest that has a value (Gortler et al., "The
    Lumigraph", SIGGRAPH 1996, section 3.4), and beyond their reach the middle of the range. Blocks must begin at
    multiples of 2^4 of the whole array: then a sample depends on its surroundings only, and windows leave no trace.
    """
    if valid.all():
        return x
    return np.where(valid, x, _filled(np.where(valid, x, np.float32(0.0)), valid.astype(np.float32), _LEVELS))


def _filled(weighted: Array, weight: Array, levels: int) -> Array:
    """Means where `weight` is above 0, elsewhere those of the coarser level."""
    divisor: Array = np.where(weight > 0.0, weight, np.float32(1.0))
    mean: Array = weighted / divisor
    if weight.all():
        return mean
    if not levels:
        return np.where(weight > 0.0, mean, np.float32(0.5))
    known: Array = np.minimum(weight, np.float32(1.0))
    coarse = _filled(_halved(mean * known), _halved(known), levels - 1)
    below = _doubled(_doubled(coarse).T).T[: mean.shape[0], : mean.shape[1]]
    return np.where(weight > 0.0, mean, below)


def _halved(x: Array) -> Array:
    """Sums of 2 x 2 samples; an odd last row or column is summed alone."""
    x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2)))
    return x[0::2, 0::2] + x[1::2, 0::2] + x[0::2, 1::2] + x[1::2, 1::2]


def _doubled(x: Array) -> Array:
    """Twice the rows, linear: 3/4 of the enclosing sample and 1/4 of its nearest neighbor."""
    fine = np.empty((2 * len(x), x.shape[1]), np.float32)
    fine[0::2] = np.float32(0.75) * x + np.float32(0.25) * np.concatenate((x[:1], x[:-1]))
    fine[1::2] = np.float32(0.75) * x + np.float32(0.25) * np.concatenate((x[1:], x[-1:]))
    return fine
