"""What JPEG compression leaves in pixels: the grid of its blocks, and coefficients that lie on multiples of the
quantization steps.

Sources: Z. Fan, R. L. de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer
estimation", IEEE TIP 12(2), 2003, for both traces; T. Bianchi, A. Piva, "Detection of nonaligned double JPEG
compression based on integer periodicity maps", IEEE TIFS 7(2), 2012, for an earlier compression, whose coefficients are
periodic on its own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from upres.images.jpeg_tables import standard_table
from upres.inspection.sampling import BLOCK_PX, block_dct, spread_blocks

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

SMALLEST_PX = 64  # a side with eight blocks
_BINS, _BIN = 1024, 0.25  # of the histograms of magnitudes: 0 to 256 levels
_QUALITIES = np.arange(1, 101)
_LEAST_Z = 8.0  # standard errors from chance: 64 grids and 100 qualities are tried
_LEAST_PERIODIC = 0.4  # mean cosine over the expected one; 1 is exactly on the multiples, 0 chance
# Variance of coefficients: luma was rounded, then red, green, blue: (.299^2 + .587^2 + .114^2) / 12.
_ROUNDED = 1.0 / 12.0 + 0.0371
_LEAST_CONTRAST = 1.03  # of the borders of blocks, from which a grid is tried
_BLOCKS = 1024
_LEAST_UNCLIPPED = 64  # blocks without black and white, the least to do without the others
_COUNT = 20  # coefficients that are not rounded to 0, the least to judge by


@dataclass(frozen=True, slots=True)
class Trace:
    """A compression that pixels show. `periodic` is the mean cosine of the coefficients, 0 to 1; `z` its distance from
    chance.
    """

    quality: int
    grid: tuple[int, int]
    periodic: float
    z: float


def find_traces(luma: Array, grid: tuple[int, int] | None = None) -> tuple[Trace | None, Trace | None]:
    """(last compression, an earlier one on another grid) of a luma window `h w` in levels that begins on a multiple of
    8.

    `grid` is where the blocks of the last one begin, where the file told; otherwise (0, 0) is tried, and then where
    borders show. Either is None where nothing shows. Of two on one grid the coarser shows, whichever was the last.
    """
    if min(luma.shape) < SMALLEST_PX:
        return None, None
    rows, columns = border_contrast(luma.T), border_contrast(luma)
    seen = [(row, column) for row in _high(rows) for column in _high(columns)]
    last: Trace | None = None
    for where in [grid] if grid is not None else dict.fromkeys([(0, 0), *seen]):
        trace = step_trace(luma, where)
        if trace is not None and (last is None or trace.z > last.z):
            last = trace
    used = grid if grid is not None else last.grid if last is not None else None
    if used is None:
        return None, None
    others = [step_trace(luma, where, mixed=True) for where in seen if where[0] != used[0] or where[1] != used[1]]
    return last, max((trace for trace in others if trace is not None), key=lambda trace: trace.z, default=None)


def border_contrast(luma: Array) -> Doubles:
    """8 numbers, by the column (modulo 8) at which a block would begin: mean cross difference there, over that of the
    other columns.

    |x[i,j] - x[i,j+1] - x[i+1,j] + x[i+1,j+1]| is blind to gradients (Bianchi and Piva use it after Chen and Hsu,
    2011); large ones, which are edges of the content, count up to three times the mean.
    """
    steps = luma[:, 1:] - luma[:, :-1]
    cross = np.abs(steps[1:] - steps[:-1])
    means = np.minimum(cross, 3.0 * cross.mean() + 1e-6).mean(axis=0, dtype=np.float64)
    sums = np.array([means[(start - 1) % BLOCK_PX :: BLOCK_PX].mean() for start in range(BLOCK_PX)])
    others = (sums.sum() - sums) / (BLOCK_PX - 1)
    return sums / np.maximum(others, 1e-6)


def _high(contrast: Doubles) -> list[int]:
    """The two places where borders show most, where they do."""
    return [int(place) for place in np.argsort(-contrast, kind="stable")[:2] if contrast[place] >= _LEAST_CONTRAST]


def step_trace(luma: Array, grid: tuple[int, int], *, mixed: bool = False) -> Trace | None:
    """The standard table on whose multiples the coefficients of this grid lie best, if they lie there beyond chance.

    For the step q of a frequency, cos(2 pi c / q) of the coefficients c beyond q/2 has the mean exp(-2 pi^2 v / q^2) on
    multiples of q that were rounded with the variance v, and about 0 elsewhere (a little less, since small coefficients
    are more than large ones). Its sum over the luma table of each quality, weighted by that mean, decides. `mixed`:
    only frequencies of both directions count: content that does not vary along one lies on the multiples of a grid that
    is moved along it, too.
    """
    blocks = spread_blocks(luma[:, :, None], grid, _BLOCKS)[..., 0]
    # Clipping moves coefficients off the multiples.
    samples = blocks.reshape(-1, BLOCK_PX * BLOCK_PX)
    unclipped = (samples.min(axis=1) > 1.0) & (samples.max(axis=1) < 254.0)
    if np.count_nonzero(unclipped) >= _LEAST_UNCLIPPED:
        blocks = blocks[unclipped]
    coefficients = np.abs(block_dct(blocks)).reshape(-1, 64)
    bins = np.minimum((coefficients * np.float32(1.0 / _BIN)).astype(np.int32), _BINS)  # the last is for what is beyond
    bins += np.arange(64, dtype=np.int32) * (_BINS + 1)
    counts = np.bincount(bins.ravel(), minlength=64 * (_BINS + 1)).reshape(64, -1)[:, :_BINS].astype(np.float32)
    if mixed:
        counts.reshape(8, 8, _BINS)[0] = counts.reshape(8, 8, _BINS)[:, 0] = 0.0
    cosines, beyond = _step_tables()
    places, steps = np.arange(1, 64), _standard_steps()
    sums, numbers = (counts @ cosines)[places, steps], (counts @ beyond)[places, steps]  # 100, 63
    weights = np.exp(-2.0 * np.pi**2 * _ROUNDED / np.square(steps.astype(np.float64)))
    total = (weights * sums).sum(axis=1)
    squares = (np.square(weights) * numbers).sum(axis=1)
    z = total / np.sqrt(np.maximum(squares, 1.0) / 2.0)
    periodic = total / np.maximum(squares, 1.0)
    z[(numbers.sum(axis=1) < _COUNT) | (periodic < _LEAST_PERIODIC)] = 0.0
    best = int(np.argmax(z))
    if z[best] < _LEAST_Z:
        return None
    return Trace(int(_QUALITIES[best]), grid, float(periodic[best]), float(z[best]))


@lru_cache(maxsize=1)
def _step_tables() -> tuple[Array, Array]:
    """(cos(2 pi c / q), 1) where c, the middle of a bin, is beyond q/2, else 0: both (bins, 256), by the step q; that
    of 0 is unused.
    """
    middle = (np.arange(_BINS) + 0.5)[:, None] * _BIN
    steps = np.maximum(np.arange(256), 1)
    beyond = middle > steps / 2.0
    return (np.cos(2.0 * np.pi * middle / steps) * beyond).astype(np.float32), beyond.astype(np.float32)


@lru_cache(maxsize=1)
def _standard_steps() -> NDArray[np.int32]:
    """(qualities, 63): steps of the frequencies without the mean."""
    return np.array([standard_table(int(quality)).reshape(-1)[1:] for quality in _QUALITIES])
