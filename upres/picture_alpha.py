"""Colour under transparent pixels, so that no halo shows once a picture is enlarged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def bleed_alpha(pixels: Array, alpha: Array) -> Array:
    """Give every fully transparent pixel the colour of the visible ones around it; all others keep theirs to the bit.

    `pixels` h w c, `alpha` h w, both in [0,1]; returns h w c, which is `pixels` itself where nothing is transparent or nothing is visible.
    Pull-push (Gortler et al., "The Lumigraph", SIGGRAPH 1996, section 3.4): means weighted by alpha are taken over 2 x 2 pixels until one
    pixel is left, and holes are filled on the way back, each from the finest level that has a colour there.
    """
    hidden = alpha <= 0.0
    if not hidden.any() or hidden.all():
        return pixels
    weight = np.clip(alpha, 0.0, 1.0)
    filled = _pull_push(pixels * weight[:, :, None], weight)
    return np.where(hidden[:, :, None], np.clip(filled, 0.0, 1.0), pixels)


def _pull_push(weighted: Array, weight: Array) -> Array:
    """Colours for all pixels from `weighted` = colour x weight (h w c) and `weight` (h w); the weights sum to more than 0."""
    solid = weight > 0.0
    colour = weighted / np.where(solid, weight, np.float32(1.0))[:, :, None]
    if solid.all():
        return colour
    # Weights saturate at 1 as in the source: a cell with one opaque pixel counts as fully known, so colour reaches far without fading.
    coarse_weight = _halve(weight[:, :, None])[:, :, 0]
    known = np.minimum(coarse_weight, np.float32(1.0))
    share = known / np.where(coarse_weight > 0.0, coarse_weight, np.float32(1.0))
    coarse = _pull_push(_halve(weighted) * share[:, :, None], known)
    below = _double(coarse, *weight.shape)
    return np.where(solid[:, :, None], colour, below)


def _halve(x: Array) -> Array:
    """Sums over 2 x 2 pixels; an odd last row or column stands alone: h w c -> ceil(h/2) ceil(w/2) c."""
    height, width = x.shape[:2]
    rows = x[0::2].copy()
    rows[: height // 2] += x[1::2]
    columns = rows[:, 0::2].copy()
    columns[:, : width // 2] += rows[:, 1::2]
    return columns


def _double(x: Array, height: int, width: int) -> Array:
    """To (height, width) by linear interpolation, each fine pixel 3/4 from the coarse one it lies in and 1/4 from the next."""
    for axis, size in ((0, height), (1, width)):
        x = np.moveaxis(x, axis, 0)
        before = np.concatenate((x[:1], x[:-1]))
        after = np.concatenate((x[1:], x[-1:]))
        fine = np.empty((2 * len(x), *x.shape[1:]), np.float32)
        fine[0::2] = 0.75 * x + 0.25 * before
        fine[1::2] = 0.75 * x + 0.25 * after
        x = np.moveaxis(fine[:size], 0, axis)
    return x
