"""How much of a picture repeats every 2 or 4 pixels: the trace of a pixel shuffle or of a strided transposed convolution, in figures.

Enlarging by P computes the P x P positions of a cell with different weights. Where these disagree the picture carries a pattern of period P
("checkerboard"; Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016), and whatever is P-periodic, or is a smooth content
times something P-periodic, has its energy at and around the lattice of frequencies {0, 1/P, ..., (P-1)/P}^2 cycles per pixel. There is one
zero on that lattice, (0, 0), which is the picture itself and is left out.

Two figures, since each is blind where the other sees:

- `lattice_ratio`: energy around the lattice against that of the true picture, which has some too. A picture that is too soft there hides a
  pattern of equal strength from it.
- `lattice_contrast`: energy density around the lattice against that of the frequencies nearby, in one picture alone. Softness does not
  touch it, for it weakens both. Staircases of nearest-neighbor enlarging, broad in frequency, do not show in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, UsageError
from upres.images.color import rgb_to_y

PERIODS_PX = (2, 4)
_SMALLEST_PX = 32  # the multiples of 1/4 are then eight bins apart, and no band reaches into another's ring
_HALF_WIDTH = 1.0 / 64.0  # of a band, in cycles per pixel: patterns whose strength varies over some 64 pixels or more
_RING = 3  # the frequencies nearby: to three half-widths
_ROUNDING = 1.0 / 12.0  # variance of rounding to whole levels: below that no energy means anything


def _luma(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Full-range BT.601 luma `h w` in 8-bit levels (gray is its own), of uint8 or of float in [0,1], without rows and columns beyond a
    multiple of 4, so that every lattice frequency is a frequency of the transform."""
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(f"a picture to measure must be h w, h w 1 or h w 3, got shape {image.shape}")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise InputError(f"a picture to measure must be uint8, or float in [0,1], got {image.dtype}")
    height, width = (side // 4 * 4 for side in image.shape[:2])
    if min(height, width) < _SMALLEST_PX:
        raise InputError(f"a spectrum needs at least {_SMALLEST_PX}x{_SMALLEST_PX} pixels, got {image.shape[0]}x{image.shape[1]} (h x w)")
    wide = image[:height, :width].astype(np.float64) / (255.0 if image.dtype == np.uint8 else 1.0)
    if not np.isfinite(wide).all():
        raise InputError("a picture to measure holds values that are not finite")
    if wide.shape[2] == 1:
        return wide[:, :, 0] * 255.0
    return (rgb_to_y(wide) * 255.0 - 16.0) * (255.0 / 219.0)


def _hann(side: int) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(side) / side), np.float64)


def _power(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """S(u, v) = |DFT(w (Y - mean Y))|^2 / (H W sum w^2), `h w`, with the periodic Hann window w; sums to about the variance of Y.

    The window keeps the picture's border, where its left end meets its right, from spilling into all frequencies of a row or column. Being
    periodic it spreads a sine on a frequency of the transform over exactly three bins, so that a band of three loses nothing of it.
    """
    height, width = luma.shape
    window = _hann(height)[:, None] * _hann(width)
    spectrum = np.fft.fft2(window * (luma - luma.mean()))
    return np.abs(spectrum) ** 2 / (height * width * np.sum(window**2))


def _nearest(side: int, period_px: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For every bin of an axis: which multiple k/P is nearest (k, and 0 for P too), and how far it is in half-widths of a band."""
    apart = np.abs(np.arange(side) - np.arange(period_px + 1)[:, None] * (side // period_px))
    k = apart.argmin(axis=0)
    return k % period_px, apart.min(axis=0) / max(1.0, np.floor(side * _HALF_WIDTH))


def _bands(luma: NDArray[np.float64], period_px: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks `h w` over the frequencies: square bands around the lattice points but (0, 0), and the rings around these bands."""
    if period_px not in PERIODS_PX:
        raise UsageError(f"the period must be {' or '.join(map(str, PERIODS_PX))} pixels, got {period_px}")
    (k_rows, rows), (k_columns, columns) = (_nearest(side, period_px) for side in luma.shape)
    elsewhere = (k_rows[:, None] > 0) | (k_columns > 0)
    apart = np.maximum(rows[:, None], columns)
    return elsewhere & (apart <= 1.0), elsewhere & (apart > 1.0) & (apart <= _RING)


def lattice_energy(image: NDArray[np.generic], period_px: int) -> float:
    """Energy at and around the lattice, in squares of 8-bit levels of luma.

        E_P = sum of S(u, v) over the bins within 1/64 cycle per pixel (and at least one bin) of a point of {0, 1/P, ...}^2 without (0, 0)

    on either axis, where S is the power spectrum of the luma under a Hann window, scaled so that all of S adds up to the variance. A
    picture that repeats every P pixels has all its variance there: E_P of a checkerboard of m + a and m - a in fields of P/2 pixels is a^2.
    `image` is uint8 or float in [0,1], `h w`, `h w 1` or `h w 3`, 32x32 or more; `period_px` is 2 or 4, and the points of 2 are among those
    of 4. Raises `InputError` and `UsageError` for others.
    """
    luma = _luma(image)
    band, _ = _bands(luma, period_px)
    return float(_power(luma)[band].sum())


def lattice_ratio(sr: NDArray[np.generic], hr: NDArray[np.generic], period_px: int) -> float:
    """(E_P(sr) + e) / (E_P(hr) + e): about 1 where `sr` has no more of the pattern than the truth, near 0 where it is soft.

    e is the energy of rounding to 8 bit in these bands, 1/12 in all frequencies together: two flat pictures have the ratio 1.
    """
    if sr.shape != hr.shape:
        raise InputError(f"both pictures must have one shape, got sr {sr.shape} and hr {hr.shape}")
    band, _ = _bands(_luma(hr), period_px)
    noise = _ROUNDING * float(band.mean())
    return (lattice_energy(sr, period_px) + noise) / (lattice_energy(hr, period_px) + noise)


def lattice_contrast(image: NDArray[np.generic], period_px: int) -> float:
    """(mean S in the bands + e) / (mean S in the rings around them + e), e being the density of rounding noise, 1/12 over H W.

    About 1 for a picture whose spectrum is smooth there (0.6 to 2.1 on the photographs of Set5 and Set14), less for one that was enlarged
    by a good filter, since its zeros lie on the lattice, and 20 or more for a pattern of one level that hides from `lattice_ratio` in a
    soft picture.
    """
    luma = _luma(image)
    band, ring = _bands(luma, period_px)
    power = _power(luma)
    noise = _ROUNDING / power.size
    return float((power[band].mean() + noise) / (power[ring].mean() + noise))
