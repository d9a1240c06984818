"""Transparency: bleed visible colors under transparent pixels before enlarging, and limit the enlarged alpha."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from upres.images.alpha import bleed_alpha

Array = NDArray[np.float32]
_BLEED_PX = 64  # how far colors bleed across the borders of a seamless picture


def bleed(pixels: Array, alpha: Array, *, wrap: bool) -> Array:
    """`bleed_alpha`, with `wrap` across the borders of the picture."""
    if not wrap:
        return bleed_alpha(pixels, alpha)
    height, width = alpha.shape
    frame = ((_BLEED_PX, _BLEED_PX), (_BLEED_PX, _BLEED_PX))
    bled = bleed_alpha(np.pad(pixels, (*frame, (0, 0)), mode="wrap"), np.pad(alpha, frame, mode="wrap"))
    return np.ascontiguousarray(bled[_BLEED_PX : _BLEED_PX + height, _BLEED_PX : _BLEED_PX + width])


def is_constant(alpha: Array) -> bool:
    return bool(alpha.min() == alpha.max())


def hold_between_neighbors(result: Array, alpha: Array, *, wrap: bool) -> None:
    """Clamp `result`, the enlarged `alpha`, in place: each value to the minimum and maximum of its 3 x 3 neighborhood
    in `alpha`.
    """
    clamp_rows(result, neighbor_limits(alpha, wrap=wrap), 0, len(result))


def neighbor_limits(alpha: Array, *, wrap: bool) -> tuple[Array, Array]:
    """Minimum and maximum of the 3 x 3 neighborhood of each value."""
    low, high = alpha, alpha
    for axis in (0, 1):  # a 3 x 3 minimum or maximum is separable
        low, high = _spread(low, np.minimum, axis, wrap=wrap), _spread(high, np.maximum, axis, wrap=wrap)
    return low, high


def clamp_rows(rows: Array, limits: tuple[Array, Array], top: int, height: int) -> None:
    """Clamp rows of an enlarged alpha in place: those from `top` on, of `height` in all."""
    low, high = limits
    width = int(rows.shape[1])
    sources = np.minimum((np.arange(top, top + len(rows)) * low.shape[0]) // height, low.shape[0] - 1)
    columns = np.minimum((np.arange(width) * low.shape[1]) // width, low.shape[1] - 1)
    for y, source in enumerate(sources):  # row by row, to allocate no array of the output's size
        np.clip(rows[y], low[source][columns], high[source][columns], out=rows[y])


def _spread(values: Array, pick: Callable[[Array, Array], Array], axis: int, *, wrap: bool) -> Array:
    """`pick` (minimum or maximum) over each value and its two neighbors along `axis`."""
    ends = [(0, 0), (0, 0)]
    ends[axis] = (1, 1)
    longer = np.pad(values, ends, mode="wrap" if wrap else "edge")
    behind, here, ahead = (
        longer[start : start + values.shape[0]] if axis == 0 else longer[:, start : start + values.shape[1]]
        for start in (0, 1, 2)
    )
    return pick(pick(behind, here), ahead)
