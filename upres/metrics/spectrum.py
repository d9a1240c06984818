"""Checkerboard artifacts, measured as spectral energy at periods of 2 or 4 pixels.

Upscaling by P computes the P x P positions of a cell with different weights. If these disagree, the output carries a
pattern of period P (A. Odena et al., "Deconvolution and checkerboard artifacts", Distill 2016). Smooth content times a
P-periodic pattern has its energy around the frequency lattice {0, 1/P, ..., (P-1)/P}^2 cycles per pixel. The point
(0, 0) is the content itself and is excluded.

Two complementary measures:

- `lattice_ratio`: energy around the lattice relative to the HR picture. Blur at these frequencies can hide a pattern.
- `lattice_contrast`: energy density around the lattice relative to nearby frequencies, in one picture. Blur weakens
  both equally, but broadband staircases of nearest-neighbor interpolation do not show.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, UsageError
from upres.images.color import rgb_to_y

PERIODS_PX = (2, 4)
_SMALLEST_PX = 32  # the multiples of 1/4 are then eight bins apart, so that no band overlaps another's ring
_HALF_WIDTH = 1.0 / 64.0  # of a band, in cycles per pixel: patterns whose amplitude varies over 64 pixels or more
_RING = 3  # outer radius of the ring of nearby frequencies, in half-widths
_ROUNDING = 1.0 / 12.0  # variance of rounding to integer levels: the noise floor


def _luma(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Full-range BT.601 luma (gray unchanged), `h w` in 0..255, of uint8 or float in [0, 1].

    Cropped to multiples of 4, so that every lattice frequency is a DFT bin.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise InputError(f"image must be h w, h w 1 or h w 3, got shape {image.shape}")
    if image.dtype != np.uint8 and image.dtype.kind != "f":
        raise InputError(f"image must be uint8 or float in [0, 1], got {image.dtype}")
    height, width = (side // 4 * 4 for side in image.shape[:2])
    if min(height, width) < _SMALLEST_PX:
        found = f"{image.shape[0]}x{image.shape[1]} (h x w)"
        raise InputError(f"a spectrum needs at least {_SMALLEST_PX}x{_SMALLEST_PX} pixels, got {found}")
    wide = image[:height, :width].astype(np.float64) / (255.0 if image.dtype == np.uint8 else 1.0)
    if not np.isfinite(wide).all():
        raise InputError("image must be finite, got NaN or infinity")
    if wide.shape[2] == 1:
        return wide[:, :, 0] * 255.0
    return (rgb_to_y(wide) * 255.0 - 16.0) * (255.0 / 219.0)


def _hann(side: int) -> NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(side) / side), np.float64)


def _power(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    """S(u, v) = |DFT(w (Y - mean Y))|^2 / (H W sum w^2), `h w`; sums to about the variance of Y.

    w is the periodic Hann window. It suppresses leakage from the discontinuity at the borders, and spreads a sine at
    a DFT frequency over exactly three bins, so that a band of three captures all of it.
    """
    height, width = luma.shape
    window = _hann(height)[:, None] * _hann(width)
    spectrum = np.fft.fft2(window * (luma - luma.mean()))
    return np.abs(spectrum) ** 2 / (height * width * np.sum(window**2))


def _nearest(side: int, period_px: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For every bin of an axis: k (mod P) of the nearest multiple k/P, and the distance to it in band half-widths."""
    apart = np.abs(np.arange(side) - np.arange(period_px + 1)[:, None] * (side // period_px))
    k = apart.argmin(axis=0)
    return k % period_px, apart.min(axis=0) / max(1.0, np.floor(side * _HALF_WIDTH))


def _bands(luma: NDArray[np.float64], period_px: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Frequency masks `h w`: square bands around the lattice points except (0, 0), and rings around these bands."""
    if period_px not in PERIODS_PX:
        raise UsageError(f"period_px must be {' or '.join(map(str, PERIODS_PX))}, got {period_px}")
    (k_rows, rows), (k_columns, columns) = (_nearest(side, period_px) for side in luma.shape)
    elsewhere = (k_rows[:, None] > 0) | (k_columns > 0)
    apart = np.maximum(rows[:, None], columns)
    return elsewhere & (apart <= 1.0), elsewhere & (apart > 1.0) & (apart <= _RING)


def lattice_energy(image: NDArray[np.generic], period_px: int) -> float:
    """Energy E_P around the lattice, in squared 8-bit levels of luma.

    E_P sums S(u, v), the power spectrum of the Hann-windowed luma scaled to sum to its variance, over the bins within
    1/64 cycle per pixel on either axis (and at least one bin) of a point of {0, 1/P, ...}^2 except (0, 0). A P-periodic
    picture has all its variance there: E_P of a checkerboard of levels m + a and m - a in squares of P/2 pixels is a^2.

    Args:
        image: `h w`, `h w 1` or `h w 3`, uint8 or float in [0, 1], at least 32x32 pixels.
        period_px: P, 2 or 4; the lattice of 4 contains that of 2.

    Raises:
        InputError: `image` is of another kind, too small or not finite.
        UsageError: `period_px` is not 2 or 4.
    """
    luma = _luma(image)
    band, _ = _bands(luma, period_px)
    return float(_power(luma)[band].sum())


def lattice_ratio(sr: NDArray[np.generic], hr: NDArray[np.generic], period_px: int) -> float:
    """(E_P(sr) + e) / (E_P(hr) + e): about 1 if `sr` has as much of the pattern as `hr`, near 0 if it is blurred.

    e is the energy of 8-bit rounding in these bands (1/12 over all frequencies), so that flat images have ratio 1.
    Arguments and errors as in `lattice_energy`; `sr` and `hr` must have the same shape.
    """
    if sr.shape != hr.shape:
        raise InputError(f"sr and hr must have the same shape, got {sr.shape} and {hr.shape}")
    band, _ = _bands(_luma(hr), period_px)
    noise = _ROUNDING * float(band.mean())
    return (lattice_energy(sr, period_px) + noise) / (lattice_energy(hr, period_px) + noise)


def lattice_contrast(image: NDArray[np.generic], period_px: int) -> float:
    """(mean S in the bands + e) / (mean S in the rings around them + e), where e = 1/12 / (H W) is rounding noise.

    About 1 for a smooth spectrum (0.6 to 2.1 for the photographs of Set5 and Set14), less after a good interpolation
    filter, whose zeros lie on the lattice, and 20 or more for a one-level pattern in a blurred picture, which
    `lattice_ratio` misses. Arguments and errors as in `lattice_energy`.
    """
    luma = _luma(image)
    band, ring = _bands(luma, period_px)
    power = _power(luma)
    noise = _ROUNDING / power.size
    return float((power[band].mean() + noise) / (power[ring].mean() + noise))


def high_band_ratio(sr: NDArray[np.generic], hr: NDArray[np.generic], scale: int) -> float:
    """(energy of `sr` above LR's band + e) / (that of `hr` + e): about 1 if `sr` has as much detail as `hr`.

    The band of LR ends at 1 / (2 scale) cycles per pixel of SR on either axis; what lies above it was not in LR, so a
    model adds it. Interpolation has a ratio near 0; a ratio above 1 is oversharpened or noisy. That spectra of
    upsampling networks depart from those of photographs is the finding of Durall, Keuper and Keuper, "Watch your
    up-convolution", CVPR 2020. e is the energy of 8-bit rounding in the band.

    scale: 2 or more. Other arguments and errors as in `lattice_ratio`.
    """
    if scale < 2:
        raise UsageError(f"`scale` must be 2 or more for the energy above LR's band, got {scale}")
    if sr.shape != hr.shape:
        raise InputError(f"sr and hr must have the same shape, got {sr.shape} and {hr.shape}")
    energies: list[float] = []
    for image in (sr, hr):
        luma = _luma(image)
        rows, columns = (np.abs(np.fft.fftfreq(side)) for side in luma.shape)
        band = np.maximum(rows[:, None], columns) > 0.5 / scale
        energies.append(float(_power(luma)[band].sum()) + _ROUNDING * float(band.mean()))
    return energies[0] / energies[1]
