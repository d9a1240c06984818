"""What a window of luma shows of its true resolution: how its spectrum falls off, and which period its interpolation
left.

Two facts tell an enlarged picture from one that was taken at its size:

- Its spectrum ends early. Enlarging by s puts the content below 1/(2s) cycles per pixel; what is above is what the
  interpolation kernel lets
  through of the spectrum's images (A. V. Oppenheim, R. W. Schafer, "Discrete-Time Signal Processing", section 4.6.2),
  then noise.
- Its second derivative is larger between the samples than on them, with the period s (A. C. Gallagher, "Detection of
  linear and cubic
  interpolation in JPEG compressed images", CRV 2005, equations 4 to 7), which is a line at 1/s in the spectrum of its
  mean over the rows. Exactly at s = 2 both phases are alike and there is none.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SEGMENT_PX = 128  # of a periodogram: frequencies of 1/128 cycle per pixel
SMALLEST_PX = 144  # a side with one segment of differences and some to spare
FEATURES = 2 * (SEGMENT_PX // 2 + 1) + 2 * 64 + 1
_TRANSFORM_PX = 1024  # of the spectrum of a line, zero padded: windows are at most 512 px
_POOL = 8  # its frequencies that make one feature
_SLOW_PX = 17  # what varies more slowly than that along a line is content, not a period
_ROUNDING = 1e-4  # power below which nothing means anything: that of rounding is 1/12


def features(luma: Array) -> Array:
    """`FEATURES` numbers of a luma window `h w` in levels of 255, sides `SMALLEST_PX` to 512: logarithms of spectra,
    over both axes.

    Centered log power of differences along means of four rows, then along single rows; log of the lines of the second
    derivative by its mean magnitude, then by its mean logarithm; the mean log power, which tells how strong the content
    is.
    """
    axes = (luma, np.ascontiguousarray(luma.T))
    of_means = np.log(sum(difference_spectrum(_row_means(axis, 4)) for axis in axes) + _ROUNDING)
    of_rows = np.log(sum(difference_spectrum(axis[::4]) for axis in axes) + _ROUNDING)
    lines = [interpolation_lines(axis) for axis in axes]
    periods = [np.log1p(np.add(*both)[:512].reshape(64, _POOL).max(axis=1)) for both in zip(*lines, strict=True)]
    level = of_means.mean()
    return np.concatenate((of_means - level, of_rows - level, *periods, [level])).astype(np.float32)


def difference_spectrum(rows: Array) -> NDArray[np.float64]:
    """Mean power of the differences between neighbors along rows `n w`, at 0, 1/128, ..., 1/2 cycles per pixel (P.
    Welch, 1967).

    Differences, since those of a photograph are nearly white: its power falls with the square of the frequency (D. J.
    Field, 1987).
    """
    half = SEGMENT_PX // 2
    differences = np.diff(rows, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(differences, SEGMENT_PX, axis=1)[:, ::half]
    hann = np.hanning(SEGMENT_PX).astype(np.float32)
    spectrum = np.fft.rfft(windows * hann, axis=-1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return power.mean(axis=(0, 1), dtype=np.float64) / float(np.square(hann).sum())


def interpolation_lines(luma: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Power of the periods along x, at k / 1024 cycles per pixel, in units of the median: by mean magnitude and by mean
    logarithm.

    The magnitude sees a period in strong texture behind noise, the logarithm one in a clean picture, where a few edges
    would hide it.
    """
    second = np.abs(luma[:, 2:] - 2.0 * luma[:, 1:-1] + luma[:, :-2])
    return _lines(second.mean(axis=0)), _lines(np.log1p(second).mean(axis=0))


def _lines(means: Array) -> NDArray[np.float64]:
    logs = np.log(means.astype(np.float64) + 1e-3)
    box = np.full(_SLOW_PX, 1.0 / _SLOW_PX)
    logs -= np.convolve(np.pad(logs, _SLOW_PX // 2, mode="edge"), box, "valid")
    power = np.square(np.abs(np.fft.rfft(logs * np.hanning(len(logs)), _TRANSFORM_PX)))
    return power / max(float(np.median(power)) / np.log(2.0), 1e-9)


def _row_means(luma: Array, count: int) -> Array:
    height = luma.shape[0] // count * count
    return luma[:height].reshape(height // count, count, -1).mean(axis=1)
