"""Whether a picture is gray, drawn or photographed, and whether its gradients are banded.

All three are simple counts, made for this project; their limits come from pictures whose kind is known
(docs/inspect.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

_GRAY_LEVELS = 2.0  # of 255, that the mean of a block may differ between channels
_GRAY_SHARE = 0.995  # of the blocks
_EDGE = 16.0  # levels from which a step is one of an edge
# Fitted by `benchmarks/fit_drawn.py`, which prints them.
_DRAWN: Doubles = np.array([-0.162, -1.848, -1.623, -0.351, 1.376, 1.572, 1.809, 3.375])
_DRAWN_FROM = 4.321
_SURE = 2.2  # log odds of 9 to 1
_STEP_PX = 4
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
    count, height, width, channels = blocks.shape
    area = height * width
    means: Array = np.full(area, 1.0 / area, np.float32) @ blocks.reshape(count, area, channels)  # faster than `mean`
    apart = means.max(axis=1) - means.min(axis=1)
    limit = _GRAY_LEVELS + 3.0 * noise_sigma_255 / 8.0 * 2.0**0.5  # of the difference of two means of 64 noisy values
    return int(np.count_nonzero(apart <= limit)) >= _GRAY_SHARE * count


def step_shares(luma: Array, least: float) -> Doubles | None:
    """Eight numbers of a luma window `h w` in levels, on which `is_drawn` decides; None where too little is to be seen.

    Steps are the larger difference to the fourth pixel to the right and below, after a mean over 3 x 3 pixels, which
    weakens noise. Of those outside of the commonest of 64 levels, the paper, log(0.01 + share) of: up to `least`, to 4
    times `least`, to 16, to 32, to 64 and beyond. Then that of what is not paper, and in it, of its three commonest
    levels. Drawings are flat or have edges, in few levels; photographs have shading and texture, which lie between.
    """
    if min(luma.shape) < _STEP_PX + 3:
        return None
    rows = luma[:-2] + luma[1:-1] + luma[2:]
    smooth = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1.0 / 9.0)
    levels = np.minimum(smooth * np.float32(0.25), 63.0).astype(np.int64)
    counts = np.bincount(levels.ravel(), minlength=64)
    paper = levels == int(counts.argmax())
    here, right, below = np.s_[:-_STEP_PX, :-_STEP_PX], np.s_[:-_STEP_PX, _STEP_PX:], np.s_[_STEP_PX:, :-_STEP_PX]
    drawn_on = ~(paper[here] & paper[right] & paper[below])
    steps = np.maximum(np.abs(smooth[right] - smooth[here]), np.abs(smooth[below] - smooth[here]))[drawn_on]
    if len(steps) < _LEAST_STEPS:
        return None
    between = 4.0 * least if 4.0 * least < _EDGE else (least + _EDGE) / 2.0
    ends = [np.count_nonzero(steps < end) for end in (least, between, _EDGE, 2.0 * _EDGE, 4.0 * _EDGE)]
    shares = np.diff(np.concatenate(([0], ends, [len(steps)]))) / len(steps)
    others = np.sort(counts)[:-1]
    few = others[-3:].sum() / max(1, others.sum())
    return np.log(0.01 + np.append(shares, (len(steps) / drawn_on.size, few)))


def is_drawn(luma: Array, noise_sigma_255: float, compressed_step: float) -> bool | None:
    """Whether a luma window in levels shows a drawing, a chart or text. None where it lies between, or noise hides it.

    A logistic regression on `step_shares`, told from a probability of 9 in 10. `compressed_step` is a typical
    quantization step of its JPEG, or 0.
    """
    if noise_sigma_255 > _STRONGEST_NOISE:
        return None
    shares = step_shares(luma, max(1.5, 1.5 * noise_sigma_255, compressed_step / 6.0))
    if shares is None:
        return None
    score = float(_DRAWN @ shares) + _DRAWN_FROM
    return None if abs(score) < _SURE else score > 0.0


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
