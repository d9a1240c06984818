"""Multi-scale structural similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.metrics.psnr_ssim import WINDOW_PX, prepare_pair, ssim_terms

# Exponents of the scales from fine to coarse: Z. Wang, E. Simoncelli, A. Bovik, "Multi-scale structural similarity for
# image quality assessment", Asilomar 2003, section 3.2.
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_PX = WINDOW_PX * 2 ** (len(WEIGHTS) - 1)


def ms_ssim(sr: NDArray[np.generic], hr: NDArray[np.generic], *, border: int, luma: bool) -> float:
    """MS-SSIM: the product over five scales of mean contrast-structure, and of mean SSIM at the coarsest, each to its
    exponent; averaged over channels; 1 for equal images.

    Window and constants are those of `ssim`. Between scales, means of 2 x 2 pixels (an odd last row or column is
    dropped). A negative mean counts as 0, whose power would not be real. Arguments and errors as in `ssim`; at least
    176 x 176 pixels must remain inside the border.
    """
    first, second = prepare_pair(sr, hr, border, luma, round_luma=False)
    height, width = first.shape[:2]
    if min(height, width) < SMALLEST_PX:
        raise InputError(
            f"MS-SSIM needs {SMALLEST_PX}x{SMALLEST_PX} pixels inside the border, got {height}x{width} (h x w)"
        )
    return float(np.mean([_of_channel(first[:, :, c], second[:, :, c]) for c in range(first.shape[2])]))


def _of_channel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    product = 1.0
    for scale, weight in enumerate(WEIGHTS):
        luminance, structure = ssim_terms(x, y)
        coarsest = scale == len(WEIGHTS) - 1
        mean = float(np.mean(luminance * structure if coarsest else structure))
        product *= max(mean, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    return product


def _halve(image: NDArray[np.float64]) -> NDArray[np.float64]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    return image[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
