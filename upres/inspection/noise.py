"""How much noise a picture carries: the standard deviation in levels of 255, from the flattest of its blocks.

Sources: N. Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007, as M. Colom
and A. Buades analyze it (Image Processing On Line 3, 2013): blocks are sorted by the energy of their low frequencies,
and the high frequencies of the lowest ones are noise. Since both are independent under white noise, the choice does not
favor weak noise. What a JPEG carried before its compression is told by `jpeg_noise.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from upres.inspection.sampling import block_dct, to_luma

Array = NDArray[np.float32]

SHARE = 0.04  # of the blocks, which are called flat
LEAST_BLOCKS = 24  # flat ones, to say anything
_ROUNDING_VARIANCE = 1.0 / 12.0  # of whole levels
_LUMA_SHARE = {1: 1.0, 3: 0.669}  # of independent noise of the channels: the root of .299^2 + .587^2 + .114^2
_SUMS = np.add.outer(np.arange(8), np.arange(8))  # u + v
_LOW, _HIGH, _HIGHEST = (_SUMS > 0) & (_SUMS < 6), _SUMS >= 8, _SUMS >= 11


def pixel_noise(blocks: Array, depth: int = 8) -> tuple[float, ...] | None:
    """Standard deviation of each channel of blocks `n 8 8 c` in levels of 255, and of luma, without that of rounding to
    levels of 8 bits.

    None where fewer than `LEAST_BLOCKS` flat blocks are free of clipped values, which have lost their noise.
    """
    flat = _flattest(blocks)
    if flat is None:
        return None
    rounding = _ROUNDING_VARIANCE if depth == 8 else 0.0
    variances = [_high_variance(flat[..., channel]) - rounding for channel in range(blocks.shape[3])]
    luma = _high_variance(to_luma(flat / np.float32(255.0))) - rounding * _LUMA_SHARE[blocks.shape[3]] ** 2
    return tuple(math.sqrt(max(0.0, variance)) for variance in (*variances, luma))


def _flattest(blocks: Array) -> Array | None:
    """The share of unclipped blocks whose luma has the least low energy, or None where they are too few."""
    flat = blocks.reshape(len(blocks), int(np.prod(blocks.shape[1:])))
    free = (flat.min(axis=1, initial=255.0) > 0.5) & (flat.max(axis=1, initial=0.0) < 254.5)
    unclipped = blocks[free]
    count = max(LEAST_BLOCKS, round(SHARE * len(unclipped)))
    if len(unclipped) < count:
        return None
    energy = np.square(block_dct(to_luma(unclipped / np.float32(255.0)))[:, _LOW]).sum(axis=1)
    return unclipped[np.argpartition(energy, count - 1)[:count]]


def _high_variance(samples: Array) -> float:
    """The median over the high frequencies of their mean square, or the mean of the highest where that is less: noise
    has as much in all of them, fine texture, which looks like it otherwise, less in the highest.
    """
    means = np.square(block_dct(samples)).mean(axis=0, dtype=np.float64)
    return min(float(np.median(means[_HIGH])), float(means[_HIGHEST].mean()))
