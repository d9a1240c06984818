"""What a window of luma shows of its true resolution: how its spectrum falls off, and which period its interpolation
left.

Two facts tell an enlarged picture from one that was taken at its size:

- Its spectrum ends early. Enlarging by s puts the content below 1/(2s) cycles per pixel; what is above is what the
  interpolation kernel lets through of the spectrum's images (A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal
  Processing", section 4.6.2), then noise. Noise is told from content where content is weak: spectra of the strongest
  and of the weakest stretches of the lines stand beside those of all. JPEG rounds away by frequency and block: the mean
  energies of 8 x 8 blocks show what it has left.
- Its second derivative is larger between the samples than on them, with the period s (A. C. Gallagher, "Detection of
  linear and cubic interpolation in JPEG compressed images", CRV 2005, equations 4 to 7), which is a line at 1/s in the
  spectrum of its mean over the rows. Exactly at s = 2 both phases are alike and there is none. What a linear predictor
  leaves has the same period (M. Kirchner, "Fast and reliable resampling detection by spectral analysis of fixed linear
  predictor residue", MM&Sec 2008, equation 22 for its weights). The blocks of a JPEG have a period of 8, which hides
  others: each line spectrum is taken once more without it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.inspection.sampling import BLOCK_PX, block_dct, spread_blocks

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

SEGMENT_PX = 128  # of a periodogram: frequencies of 1/128 cycle per pixel
SMALLEST_PX = 144  # a side with one segment of differences and some to spare
_FREQUENCIES = SEGMENT_PX // 2 + 1
_TRACES, _POOLED = 5, 64
_PAIRS = [(u, v) for u in range(BLOCK_PX) for v in range(u, BLOCK_PX) if v]  # of frequencies, either way round
FEATURES = 5 * _FREQUENCIES + 1 + 2 * _TRACES * _POOLED + 3 * len(_PAIRS)
_TRANSFORM_PX = 1024  # of the spectrum of a line, zero padded: windows are at most 512 px
_SLOW_PX = 17  # what varies more slowly than that along a line is content, not a period
_ROUNDING = 1e-4  # power below which nothing means anything: that of rounding is 1/12
_WEAK, _STRONG = 0.2, 0.1  # shares of the stretches of lines
_BLOCKS = 1024
_HANN = np.hanning(SEGMENT_PX).astype(np.float32)


def features(luma: Array) -> Array:
    """`FEATURES` numbers of a luma window `h w` in levels of 255, sides `SMALLEST_PX` to 512, over both axes.

    Centered log powers of differences (`difference_spectra`); the mean log power, which tells how strong the content
    is; logs of the lines of five traces (`traces`), then of the same without a period of 8; log energies of blocks.
    """
    luma = np.ascontiguousarray(luma, np.float32)
    axes = (luma, np.ascontiguousarray(luma.T))
    logs = np.log(sum(difference_spectra(axis) for axis in axes) + _ROUNDING)
    level = float(logs[0].mean())
    left = np.log(prediction_residual(luma) + np.float32(1.0))  # much faster than `log1p`
    found = [traces(axis, means) for axis, means in zip(axes, (_column_means(left), left.mean(axis=1)), strict=True)]
    lines: list[Doubles] = []
    for without_blocks in (False, True):
        for both in zip(*found, strict=True):
            power = sum(line_power(one, without_blocks=without_blocks) for one in both)
            lines.append(np.log1p(power).reshape(_POOLED, -1).max(axis=1))
    return np.concatenate(((logs - level).ravel(), [level], *lines, block_energies(luma, level))).astype(np.float32)


def difference_spectra(rows: Array) -> Doubles:
    """Mean powers of the differences between neighbors along rows `n w`, `5 65`: at 0, 1/128, ..., 1/2 cycles per pixel
    (P. Welch, 1967), of means of four rows, of every fourth row, of means of 16 rows, then of the fifth of the
    stretches of single rows with the least energy and of the tenth with the most.

    Differences, since those of a photograph are nearly white: its power falls with the square of the frequency (D. J.
    Field, 1987).
    """
    single = _powers(rows[::4])
    order = np.argsort(single.sum(axis=1))
    weak, strong = (max(4, int(share * len(order))) for share in (_WEAK, _STRONG))
    parts = (_powers(_row_means(rows, 4)), single, _powers(_row_means(rows, 16)))
    chosen = (single[order[:weak]], single[order[-strong:]])
    return np.stack([_column_means(part) for part in (*parts, *chosen)]).astype(np.float64)


def _powers(rows: Array) -> Array:
    """Power of each stretch of 128 differences, half of it shared with the next: (stretches, 65)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.diff(rows, axis=1), SEGMENT_PX, axis=1)
    spectrum = np.fft.rfft((windows[:, :: SEGMENT_PX // 2] * _HANN).reshape(-1, SEGMENT_PX), axis=-1)
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) / float(np.square(_HANN).sum())
    return power.astype(np.float32, copy=False)


def _row_means(luma: Array, count: int) -> Array:
    height = luma.shape[0] // count * count
    total = luma[0:height:count] + luma[1:height:count]
    for row in range(2, count):
        total += luma[row:height:count]
    total *= np.float32(1.0 / count)
    return total


def _column_means(values: Array) -> Array:
    return np.full(len(values), 1.0 / len(values), np.float32) @ values  # much faster than `mean`


def prediction_residual(luma: Array) -> Array:
    """What the fixed linear predictor of a pixel from its eight neighbors leaves, `h-2 w-2`, as magnitudes."""
    corners = luma[:-2, :-2] + luma[:-2, 2:] + luma[2:, :-2] + luma[2:, 2:]
    sides = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return np.abs(luma[1:-1, 1:-1] + np.float32(0.25) * corners - np.float32(0.5) * sides)


def traces(luma: Array, residual: Array) -> Doubles:
    """`5 w-2`: logs of means over the rows, in which a period along x shows: of the second derivative's magnitude, its
    logarithm, that of the picture smoothed down the columns, `residual` (of the prediction's), and of the magnitude
    without strong edges.

    The magnitude sees a period in strong texture behind noise, the logarithm one in a clean picture, where a few edges
    would hide it.
    """
    second = _second(luma)
    smooth = luma[2:] + luma[:-2]
    for _ in range(2):
        smooth += luma[1:-1]
    smoothed = _second(smooth)
    smoothed *= np.float32(0.25)
    smoothed += np.float32(1.0)
    means = _column_means(second)
    capped = _column_means(np.minimum(second, np.float32(4.0 * means.mean())))
    second += np.float32(1.0)
    logs = [_column_means(np.log(one, out=one)) for one in (second, smoothed)]
    return np.log(np.stack([means, *logs, residual, capped]).astype(np.float64) + 1e-3)


def _second(luma: Array) -> Array:
    """Magnitude of the second difference along x, `h w-2`."""
    result = luma[:, 2:] + luma[:, :-2]
    result -= luma[:, 1:-1]
    result -= luma[:, 1:-1]
    return np.abs(result, out=result)


def line_power(trace: Doubles, *, without_blocks: bool = False) -> Doubles:
    """Power of the periods along a trace, at k / 1024 cycles per pixel for k below 512, in units of the median;
    `without_blocks`: less what has a period of 8.
    """
    box = np.full(_SLOW_PX, 1.0 / _SLOW_PX)
    quick = trace - np.convolve(np.pad(trace, _SLOW_PX // 2, mode="edge"), box, "valid")
    if without_blocks:
        phase = np.arange(len(quick)) % BLOCK_PX
        quick -= (np.bincount(phase, quick, BLOCK_PX) / np.bincount(phase, minlength=BLOCK_PX))[phase]
    power = np.square(np.abs(np.fft.rfft(quick * np.hanning(len(quick)), _TRANSFORM_PX)[: _TRANSFORM_PX // 2]))
    return power / max(float(np.median(power)) / np.log(2.0), 1e-9)


def block_energies(luma: Array, level: float) -> Doubles:
    """Of the frequencies of 8 x 8 blocks but their mean, each with its mirror image: log mean square less `level`, mean
    log magnitude, and log mean square of the tenth of the blocks with the most energy less `level`.
    """
    coefficients = block_dct(spread_blocks(luma[:, :, None], (0, 0), _BLOCKS)[..., 0])
    squares = np.square(coefficients)
    energy = squares.sum(axis=(1, 2)) - squares[:, 0, 0]
    strong = np.argsort(energy)[-max(8, len(energy) // 10) :]
    means = (squares.mean(axis=0), np.log1p(np.abs(coefficients)).mean(axis=0), squares[strong].mean(axis=0))
    parts = [np.log(means[0] + 1e-2) - level, means[1], np.log(means[2] + 1e-2) - level]
    rows, columns = np.array(_PAIRS).T
    return np.concatenate([(part[rows, columns] + part[columns, rows]) / 2.0 for part in parts]).astype(np.float64)
