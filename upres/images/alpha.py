"""Fill transparent pixels with nearby color, so that upscaling draws no halo around visible ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_STRIP_ROWS = 256  # even; the finest level is processed in strips to bound memory


def bleed_alpha(pixels: Array, alpha: Array) -> Array:
    """Color fully transparent pixels from the visible ones around them; all other pixels are unchanged.

    Pull-push (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): alpha-weighted 2 x 2 means down to a
    single pixel, then holes are filled on the way back up, each from the finest level that has a color there.

    Args:
        pixels: `h w c` in [0, 1].
        alpha: `h w` in [0, 1].

    Returns:
        `h w c`; `pixels` itself if no pixel is transparent or none is visible.
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
            first = max(top // 2 - 1, 0)  # one extra row on either side for the interpolation
            fine = _double(coarse[first : (top + _STRIP_ROWS) // 2 + 1], width)[top - 2 * first :]
            result[top : top + _STRIP_ROWS][here] = np.clip(fine[: len(here)][here], 0.0, 1.0)
    return result


def _fill(weighted: Array, weight: Array) -> Array:
    """Colors `h w c` of all cells from `weighted` = color x weight (h w c) and `weight` (h w, not all 0)."""
    solid = weight > 0.0
    divisor: Array = np.where(solid, weight, np.float32(1.0))
    color = weighted / divisor[:, :, None]
    if solid.all():
        return color
    # Weights saturate at 1: one opaque pixel is enough to determine a cell.
    known = np.minimum(weight, np.float32(1.0))
    coarse = _fill(_halve(color * known[:, :, None]), _halve(known[:, :, None])[:, :, 0])
    below = _double(coarse, weight.shape[1])[: weight.shape[0]]
    return np.where(solid[:, :, None], color, below)


def _halve(x: Array) -> Array:
    """2 x 2 sums, h w c -> ceil(h/2) ceil(w/2) c; an odd last row or column is summed alone."""
    height, width = x.shape[:2]
    rows = x[0::2].copy()
    rows[: height // 2] += x[1::2]
    columns = rows[:, 0::2].copy()
    columns[:, : width // 2] += rows[:, 1::2]
    return columns


def _double(x: Array, width: int) -> Array:
    """h w c -> 2h width c, linear: 3/4 of the enclosing coarse pixel and 1/4 of its nearest neighbor per axis."""
    x = _double_rows(x)
    return _double_rows(x.transpose(1, 0, 2))[:width].transpose(1, 0, 2)


def _double_rows(x: Array) -> Array:
    near, far = np.float32(0.75), np.float32(0.25)
    fine = np.empty((2 * len(x), *x.shape[1:]), np.float32)
    fine[0::2] = near * x + far * np.concatenate((x[:1], x[:-1]))
    fine[1::2] = near * x + far * np.concatenate((x[1:], x[-1:]))
    return fine
