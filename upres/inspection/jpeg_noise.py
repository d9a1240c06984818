"""How much noise a picture carried before it was compressed as a JPEG, from what rounding left of its coefficients.

Under white noise of the standard deviation sigma, a coefficient of a flat block is normal with that deviation
(the DCT is orthonormal), and its share in each quantization step follows from the step alone: `_log_shares`. Blocks
are seldom flat. Their own detail is taken as one more normal variance, which falls with a power of the frequency (D. J.
Field, 1987) and differs from block to block: a mixture of `_DETAIL`, whose shares are fitted for each sigma and power
(expectation maximization). The sigma that makes the rounded coefficients likeliest is told. Blocks are chosen by their
low frequencies and judged by the others, which are independent under white noise (see `noise.py`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from upres.images.jpeg_tables import Table
from upres.inspection.noise import LEAST_BLOCKS
from upres.inspection.sampling import block_dct, to_luma

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

_MOST_BLOCKS = 256
_SUMS = np.add.outer(np.arange(8), np.arange(8))  # u + v
_LOW, _JUDGED = (_SUMS > 0) & (_SUMS < 4), _SUMS >= 4
_RADII: Doubles = np.hypot(*np.meshgrid(np.arange(8.0), np.arange(8.0)))[_JUDGED]
_BANDS = np.rint(_RADII).astype(np.int64) - 3  # frequencies of like radius, which detail is taken to fill alike
_BAND_RADII: Doubles = np.array([_RADII[band == _BANDS].mean() for band in range(int(_BANDS.max()) + 1)])
_RADIUS = 3.0  # at which detail has the deviation that `_DETAIL` says, in levels
_DETAIL: Doubles = np.array([0.0, 0.35, 0.7, 1.4, 2.8, 5.6, 11.0, 22.0])
_POWERS = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0)  # by which its variance falls; enlarged pictures have the steep ones
_LOG_STEP = 0.05
_LEVELS: Doubles = np.exp(np.arange(math.log(0.25), math.log(90.0), _LOG_STEP))  # deviations of noise and detail
_COARSE: Doubles = np.exp(np.arange(math.log(0.3), math.log(35.0), 0.2))  # sigmas that are tried first
_FINE: Doubles = np.exp(_LOG_STEP * np.arange(-5, 6))  # then times the best of them
_MOST_MULTIPLE = 16  # of a step, beyond which all counts as one
_LEAST_SHARE = 1e-9
_ROUNDS = 6  # of expectation maximization
_SURE = 2.0  # by how much the log likelihood must fall within 25 % on both sides: two standard errors
# Before the compression levels of red, green and blue were rounded, then luma: (.299^2 + .587^2 + .114^2 + 1) / 12.
_ROUNDED = 0.12
# Rounding after decoding moves coefficients (deviation 0.35) past the next half of a step of 1 or 2: what that adds.
_MOVED = {1: 0.147, 2: 0.015}
_CLIPPED_SHARE = 4.0 / 64.0  # samples of a block that may be black or white
_ROOM, _LEAST_ROOM_LEVELS = (2.5, 1.5), 4.0  # sigmas, and levels, of luma between a block's mean and black or white


def jpeg_noise(blocks: Array, steps: Table) -> float | None:
    """Standard deviation of the luma noise before compression with these steps, in levels of 255.

    Args:
        blocks: `n 8 8 c` in levels of 255, decoded, on the grid of the JPEG.
        steps: Its luma table.

    Returns:
        None where too few blocks are free of clipped values, which have lost their noise, or where steps so wide leave
        too little to tell the noise within about 25 %.
    """
    samples = blocks.reshape(len(blocks), int(np.prod(blocks.shape[1:])))
    clipped = ((samples <= 0.5) | (samples >= 254.5)).mean(axis=1) <= _CLIPPED_SHARE
    luma = to_luma(blocks[clipped] / np.float32(255.0))
    coefficients = block_dct(luma)
    energy = np.square(coefficients[:, _LOW]).sum(axis=1)
    means: Array = luma.mean(axis=(1, 2))
    room: Array = np.minimum(means, 255.0 - means)
    least: float = _LEAST_ROOM_LEVELS
    tries: tuple[float, ...] = _ROOM
    while True:
        free: NDArray[np.intp] = np.flatnonzero(np.greater_equal(room, least))
        if len(free) < LEAST_BLOCKS:
            return None
        flat = free[np.argsort(energy[free], kind="stable")[: min(_MOST_BLOCKS, max(2 * LEAST_BLOCKS, len(free) // 2))]]
        sigma = _likeliest(coefficients[flat][:, _JUDGED], steps[_JUDGED])
        if sigma is None or not tries or float(room[flat].min()) >= tries[0] * sigma:
            return sigma
        # Noise that strong is clipped in some of these: with the most room that leaves enough blocks, once more.
        wide = [factor * sigma for factor in tries if np.count_nonzero(room >= factor * sigma) >= LEAST_BLOCKS]
        if not wide:
            return None
        least, tries = wide[0], ()


def _likeliest(coefficients: Array, steps: NDArray[np.int32]) -> float | None:
    """The sigma of coefficients `n frequencies`; None where the likelihood does not tell it within about 25 %."""
    multiples = np.minimum(np.rint(np.abs(coefficients) / steps), _MOST_MULTIPLE).astype(np.int64)
    by_block = np.zeros((len(_BAND_RADII), len(multiples), len(_LEVELS)), np.float32)
    for frequency, band in enumerate(_BANDS):
        by_block[band] += _log_shares(int(steps[frequency]))[multiples[:, frequency]]
    logs = np.ascontiguousarray(by_block.transpose(0, 2, 1))
    coarse = np.stack([_log_likelihoods(logs, _COARSE, power) for power in _POWERS])
    power, place = (int(index) for index in np.unravel_index(int(coarse.argmax()), coarse.shape))
    sigmas = _COARSE[place] * _FINE
    near = _POWERS[max(0, power - 1) : power + 2]
    found = np.stack([_log_likelihoods(logs, sigmas, one) for one in near]).max(axis=0)
    best = int(found.argmax())
    below, above = found[: best + 1].min(), found[best:].min()
    told_below = below < found[best] - _SURE or sigmas[0] < _COARSE[0]  # no noise at all is an answer
    if not told_below or above >= found[best] - _SURE:
        return None
    shift = 0.0
    if 0 < best < len(sigmas) - 1:  # the top of the parabola through three points
        curvature = found[best - 1] - 2.0 * found[best] + found[best + 1]
        shift = 0.5 * float((found[best - 1] - found[best + 1]) / curvature) if curvature < 0.0 else 0.0
    return float(sigmas[best]) * math.exp(_LOG_STEP * shift)


def _log_likelihoods(logs: Array, sigmas: Doubles, power: float) -> Doubles:
    """For each sigma, with the shares of `_DETAIL` that suit it. `logs`: band, deviation of `_LEVELS`, block."""
    detail = np.square(_DETAIL)[:, None] * (_BAND_RADII / _RADIUS) ** -power
    variances = np.square(sigmas)[:, None, None] + detail  # sigma, detail, band
    places = np.rint(np.log(variances / _LEVELS[0] ** 2) * (0.5 / _LOG_STEP)).astype(np.int64)
    places = np.clip(places, 0, len(_LEVELS) - 1)
    total = logs[0][places[..., 0]]  # sigma, detail, block
    for band in range(1, len(logs)):
        total += logs[band][places[..., band]]
    highest = total.max(axis=1)
    likelihoods = np.exp(total - highest[:, None])
    shares = np.full((len(sigmas), len(_DETAIL), 1), 1.0 / len(_DETAIL), np.float32)
    for _ in range(_ROUNDS):
        weighted = shares * likelihoods
        shares = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=2, keepdims=True)
    return (np.log((shares * likelihoods).sum(axis=1)) + highest).sum(axis=1, dtype=np.float64)


@lru_cache(maxsize=256)
def _log_shares(step: int) -> Array:
    """(multiples, deviations): log of the share of normal values of each of `_LEVELS` that are rounded to each multiple
    of `step`, without their sign.
    """
    deviations = np.sqrt(np.square(_LEVELS) + _ROUNDED + _MOVED.get(step, 0.0))
    ends = (np.arange(_MOST_MULTIPLE) + 0.5)[:, None] * step / (deviations * math.sqrt(2.0))
    inside = np.interp(ends, *_error_function())
    full = np.concatenate((np.zeros((1, len(_LEVELS))), inside, np.ones((1, len(_LEVELS)))))
    return np.log(np.maximum(np.diff(full, axis=0), _LEAST_SHARE)).astype(np.float32)


@lru_cache(maxsize=1)
def _error_function() -> tuple[Doubles, Doubles]:
    """x from 0 to 6, and erf(x)."""
    x = np.linspace(0.0, 6.0, 3001)
    return x, np.array([math.erf(value) for value in x])
