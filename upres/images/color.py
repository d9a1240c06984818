"""RGB <-> YCbCr as in super-resolution papers: ITU-R BT.601, studio range, on sRGB-encoded values.

Source: MATLAB's `rgb2ycbcr` (ITU-R BT.601-7, section 2.5). Computed elementwise in float64: a matrix product
may run in TF32 on a GPU, which changes the third decimal of Y-PSNR.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rows Y, Cb, Cr; columns R, G, B in [0, 1]. The result is in 8-bit levels, before the offset (16, 128, 128).
BT601 = np.array([0.299, 0.587, 0.114])  # R, G and B in the luma of ITU-R BT.601, full range; they sum to 1
_RGB_TO_YCBCR = np.array(
    [
        [65.481, 128.553, 24.966],
        [-37.797, -74.203, 112.0],
        [112.0, -93.786, -18.214],
    ]
)
_YCBCR_TO_RGB = np.linalg.inv(_RGB_TO_YCBCR)
_OFFSET = np.array([16.0, 128.0, 128.0])


def _check(image: NDArray[np.floating]) -> None:
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an h w 3 array, got shape {image.shape}")


def rgb_to_y(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Luma of `h w 3` RGB in [0, 1]: `h w` in [16/255, 235/255], unrounded. Raises `ValueError` for other shapes."""
    _check(image)
    red, green, blue = (image[..., i].astype(np.float64) for i in range(3))
    weights = _RGB_TO_YCBCR[0]
    return (16.0 + weights[0] * red + weights[1] * green + weights[2] * blue) / 255.0


def rgb_to_ycbcr(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """`h w 3` RGB in [0, 1] -> `h w 3` YCbCr: Y in [16/255, 235/255], Cb and Cr in [16/255, 240/255].

    Raises `ValueError` for other shapes.
    """
    _check(image)
    wide = image.astype(np.float64)
    rows = zip(_RGB_TO_YCBCR, _OFFSET, strict=True)
    planes = [sum(row[i] * wide[..., i] for i in range(3)) + offset for row, offset in rows]
    return np.stack(planes, axis=-1) / 255.0


def ycbcr_to_rgb(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Inverse of `rgb_to_ycbcr`, unclipped."""
    _check(image)
    wide = image.astype(np.float64) * 255.0 - _OFFSET
    planes = [sum(row[i] * wide[..., i] for i in range(3)) for row in _YCBCR_TO_RGB]
    return np.stack(planes, axis=-1)
