"""Whether a picture is gray, drawn or photographed, and whether its gradients are banded.

All three are simple counts, made for this project; the limits come from pictures whose kind is known (docs/inspect.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_GRAY_LEVELS = 2.0  # of 255, that the mean of a block may differ between channels
_GRAY_SHARE = 0.995  # of the blocks
_EDGE = 16.0  # levels from which a step is an edge
_DRAWN, _PHOTOGRAPHED = 0.24, 0.3  # shares of small steps: below the one, above the other
_STRONGEST_NOISE = 3.0  # levels; beyond it every step of a flat area is a small one
_LEAST_STEPS = 400  # to judge by
_RUN_PX = 10  # of equal levels, the shortest plateau
_BAND_STEP = 6  # levels, the largest step between two plateaus of one gradient


def is_gray(blocks: Array, noise_sigma_255: float = 0.0) -> bool:
    """Whether the channels of blocks `n 8 8 c` in levels of 255 agree, but for noise, in nearly all blocks. One channel
    always is.
    """
    if blocks.shape[3] == 1 or not len(blocks):
        return blocks.shape[3] == 1
    means: Array = blocks.mean(axis=(1, 2))
    apart = means.max(axis=1) - means.min(axis=1)
    limit = _GRAY_LEVELS + 3.0 * noise_sigma_255 / 8.0 * 2.0**0.5  # of the difference of two means of 64 noisy values
    return float(np.mean(apart <= limit)) >= _GRAY_SHARE


def small_steps(luma: Array, least: float = 1.0, lag_px: int = 1) -> float | None:
    """Of the steps along the rows of a luma window in levels, the share from `least` to 16: shading and texture, which
    drawings lack.

    Steps within the commonest color are left out, since the paper behind a photographed thing is no drawing. `lag_px`
    is how far apart both ends of a step are: about the factor by which the picture was enlarged, which spreads its
    edges. None where there are too few.
    """
    if luma.shape[1] <= lag_px:
        return None
    levels = np.minimum((luma * np.float32(0.25)).astype(np.intp), 63)
    paper = levels == int(np.bincount(levels.ravel(), minlength=64).argmax())
    drawn_on = ~(paper[:, lag_px:] & paper[:, :-lag_px])
    steps = np.abs(luma[:, lag_px:] - luma[:, :-lag_px])[drawn_on]
    if len(steps) < _LEAST_STEPS:
        return None
    return float(np.mean((steps >= least) & (steps < _EDGE)))


def is_drawn(luma: Array, noise_sigma_255: float, compressed_step: float, true_scale: float) -> bool | None:
    """Whether a luma window in levels shows a drawing, a chart or text. None where it lies between, or noise hides flat
    areas.

    `compressed_step` is a typical quantization step of its JPEG, or 0.
    """
    if noise_sigma_255 > _STRONGEST_NOISE:
        return None
    least = max(1.0, 3.0 * noise_sigma_255 * 2.0**0.5, compressed_step / 4.0)
    share = small_steps(luma, min(least, 10.0), max(1, round(true_scale)))
    if share is None or _DRAWN < share < _PHOTOGRAPHED:
        return None
    return share <= _DRAWN


def banding(rows: Array) -> float:
    """The share of luma rows `n w` in levels that lies in plateaus of 10 px or more, each a few levels beside another
    such plateau.

    A smooth gradient of whole levels, without noise, looks like this, and so does a posterized one. Flat areas of
    drawings differ by more.
    """
    width = rows.shape[1]
    if width < 3 * _RUN_PX:
        return 0.0
    levels = np.rint(rows).astype(np.int16)
    changes = np.ones(levels.shape, np.bool_)
    changes[:, 1:] = levels[:, 1:] != levels[:, :-1]
    starts = np.flatnonzero(changes)
    lengths = np.diff(np.append(starts, levels.size))
    steps = np.abs(np.diff(levels.ravel()[starts]))
    long = lengths >= _RUN_PX
    joined = long[1:] & long[:-1] & (steps > 0) & (steps <= _BAND_STEP) & (starts[1:] % width != 0)
    near = np.zeros(len(starts), np.bool_)
    near[1:] |= joined
    near[:-1] |= joined
    return float(lengths[near].sum() / levels.size)
