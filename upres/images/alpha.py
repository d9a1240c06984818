"""Color under transparent pixels, so that no halo shows once a picture is enlarged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_STRIP_ROWS = 256  # even; the finest level, which is most of the work, is never held in memory as a whole


def bleed_alpha(pixels: Array, alpha: Array) -> Array:
    """Give every fully transparent pixel the color of the visible ones around it; all others keep theirs to the bit.

    `pixels` h w c, `alpha` h w, both in [0,1]; returns h w c, which is `pixels` itself where nothing is transparent or nothing is visible.
    Pull-push (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): means weighted by alpha are taken over 2 x 2 pixels until one
    pixel is left, and holes are filled on the way back, each from the finest level that has a color there.
    """
    hidden = alpha <= 0.0
    if not hidden.any() or hidden.all():
        return pixels
    height, width, channels = pixels.shape
    shape = (-(-height // 2), -(-width // 2))
    weighted, weight = np.empty((*shape, channels), np.float32), np.empty(shape, np.float32)
    for top in range(0, height, _STRIP_ROWS):
        strip, half = slice(top, top + _STRIP_ROWS), slice(top // 2, (top + _STRIP_ROWS) // 2)
        visible = np.clip(alpha[strip, :, None], 0.0, 1.0)
        weighted[half], weight[half] = _halve(pixels[strip] * visible), _halve(visible)[:, :, 0]
    coarse = _fill(weighted, weight)
    result = pixels.copy()
    for top in range(0, height, _STRIP_ROWS):
        here = hidden[top : top + _STRIP_ROWS]
        if here.any():
            first = max(top // 2 - 1, 0)  # one row more on either side, for the interpolation
            fine = _double(coarse[first : (top + _STRIP_ROWS) // 2 + 1], width)[top - 2 * first :]
            result[top : top + _STRIP_ROWS][here] = np.clip(fine[: len(here)][here], 0.0, 1.0)
    return result


def _fill(weighted: Array, weight: Array) -> Array:
    """Colors for all cells from the sums `weighted` = color x weight (h w c) and `weight` (h w), which is above 0 somewhere."""
    solid = weight > 0.0
    divisor: Array = np.where(solid, weight, np.float32(1.0))
    color = weighted / divisor[:, :, None]
    if solid.all():
        return color
    # A weight saturates at 1: a cell with one opaque pixel is fully known, however few of its pixels are visible.
    known = np.minimum(weight, np.float32(1.0))
    coarse = _fill(_halve(color * known[:, :, None]), _halve(known[:, :, None])[:, :, 0])
    below = _double(coarse, weight.shape[1])[: weight.shape[0]]
    return np.where(solid[:, :, None], color, below)


def _halve(x: Array) -> Array:
    """Sums over 2 x 2 pixels; an odd last row or column stands alone: h w c -> ceil(h/2) ceil(w/2) c."""
    height, width = x.shape[:2]
    rows = x[0::2].copy()
    rows[: height // 2] += x[1::2]
    columns = rows[:, 0::2].copy()
    columns[:, : width // 2] += rows[:, 1::2]
    return columns


def _double(x: Array, width: int) -> Array:
    """h w c -> 2h width c by linear interpolation: a fine pixel is 3/4 of the coarse one it lies in and 1/4 of the next."""
    x = _double_rows(x)
    return _double_rows(x.transpose(1, 0, 2))[:width].transpose(1, 0, 2)


def _double_rows(x: Array) -> Array:
    near, far = np.float32(0.75), np.float32(0.25)
    fine = np.empty((2 * len(x), *x.shape[1:]), np.float32)
    fine[0::2] = near * x + far * np.concatenate((x[:1], x[:-1]))
    fine[1::2] = near * x + far * np.concatenate((x[1:], x[-1:]))
    return fine
