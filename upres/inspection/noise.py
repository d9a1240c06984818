"""How much noise a picture carries: the standard deviation in levels of 255, from the flattest of its blocks.

Sources: N. Ponomarenko et al., "An automatic approach to lossy compression of AVIRIS images", IGARSS 2007, as M. Colom
and A. Buades analyze it (Image Processing On Line 3, 2013): blocks are sorted by the energy of their low frequencies,
and the high frequencies of the lowest ones are noise. Since both are independent under white noise, the choice does not
favor weak noise. Compressed pictures keep few of the high frequencies, so there the rounded coefficients decide by
their likelihood (the same normal distribution, integrated over the steps).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from upres.images.jpeg_tables import Table
from upres.inspection.sampling import block_dct, to_luma

Array = NDArray[np.float32]

SHARE = 0.04  # of the blocks, which are called flat
LEAST_BLOCKS = 24  # flat ones, to say anything
_ROUNDING_VARIANCE = 1.0 / 12.0  # of whole levels
_LUMA_ROUNDING = {1: 1.0, 3: 0.447}  # share of it in luma: .299^2 + .587^2 + .114^2
_SUMS = np.add.outer(np.arange(8), np.arange(8))  # u + v
_LOW, _HIGH = (_SUMS > 0) & (_SUMS < 6), _SUMS >= 8
# Of compressed pictures, whose high frequencies are mostly rounded to 0.
_LOWEST, _JUDGED = (_SUMS > 0) & (_SUMS < 4), _SUMS >= 4
_SIGMAS = np.concatenate(([0.05], np.geomspace(0.25, 40.0, 103)))  # 5 % apart
_MOST_STEPS = 2.2  # widest step, in standard deviations, whose coefficients still tell


def pixel_noise(blocks: Array, depth: int = 8) -> tuple[float, ...] | None:
    """Standard deviation of each channel of blocks `n 8 8 c` in levels of 255, and of luma, without that of rounding to
    levels of 8 bits.

    None where fewer than `LEAST_BLOCKS` flat blocks are free of clipped values, which have lost their noise.
    """
    flat = _flattest(blocks, _LOW)
    if flat is None:
        return None
    rounding = _ROUNDING_VARIANCE if depth == 8 else 0.0
    variances = [_high_variance(flat[..., channel]) - rounding for channel in range(blocks.shape[3])]
    luma = _high_variance(to_luma(flat / np.float32(255.0))) - rounding * _LUMA_ROUNDING[blocks.shape[3]]
    return tuple(math.sqrt(max(0.0, variance)) for variance in (*variances, luma))


def _flattest(blocks: Array, low: NDArray[np.bool_]) -> Array | None:
    """The share of unclipped blocks whose luma has the least energy in the frequencies `low`, or None where they are
    too few.
    """
    flat = blocks.reshape(len(blocks), int(np.prod(blocks.shape[1:])))
    free = (flat.min(axis=1, initial=255.0) > 0.5) & (flat.max(axis=1, initial=0.0) < 254.5)
    unclipped = blocks[free]
    count = max(LEAST_BLOCKS, round(SHARE * len(unclipped)))
    if len(unclipped) < count:
        return None
    energy = np.square(block_dct(to_luma(unclipped / np.float32(255.0)))[:, low]).sum(axis=1)
    return unclipped[np.argpartition(energy, count - 1)[:count]]


def _high_variance(samples: Array) -> float:
    """The median over the high frequencies of their mean square."""
    return float(np.median(np.square(block_dct(samples)[:, _HIGH]).mean(axis=0, dtype=np.float64)))


def compressed_noise(blocks: Array, steps: Table) -> float | None:
    """Standard deviation of the luma before compression with these steps, of blocks `n 8 8 c` in levels of 255 on the
    grid of the JPEG.

    None where the flat blocks are too few, or the noise is too weak to be seen behind steps that wide.
    """
    flat = _flattest(blocks, _LOWEST)
    if flat is None:
        return None
    steps_used = steps[_JUDGED].astype(np.float64)
    magnitudes = np.rint(np.abs(block_dct(to_luma(flat / np.float32(255.0)))[:, _JUDGED]) / steps_used)
    counts = np.stack([(magnitudes == 0).sum(axis=0), (magnitudes == 1).sum(axis=0), (magnitudes > 1).sum(axis=0)])
    logs = np.stack([_log_shares(int(step)) for step in steps_used])  # frequency, sigma, (0, 1, more)
    likelihood = np.einsum("kf,fsk->s", counts.astype(np.float64), logs)
    sigma = float(_SIGMAS[int(np.argmax(likelihood))])
    return sigma if steps_used.min() <= _MOST_STEPS * sigma else None


@lru_cache(maxsize=256)
def _log_shares(step: int) -> NDArray[np.float64]:
    """(sigmas, 3): log of the share of normal values of each sigma that are rounded to 0, to 1 and to more times
    `step`.
    """
    root = _SIGMAS * math.sqrt(2.0)
    inner = np.array([math.erf(0.5 * step / one) for one in root])
    outer = np.array([math.erf(1.5 * step / one) for one in root])
    return np.log(np.maximum(np.stack((inner, outer - inner, 1.0 - outer), axis=1), 1e-9))
