"""Levels of a picture as a format holds them: its depth, its profile, with or without alpha."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.images.bands import joined_bands, kinds_in
from upres.images.formats import FORMATS
from upres.images.icc import Levels, from_srgb, is_srgb, matrix_profile
from upres.images.picture import Picture, quantize
from upres.images.scene import over_white

_STRIP_ROWS = 256


def levels_to_write(picture: Picture, format: str) -> Levels:
    """Levels h w c to encode, in the profile of the picture, alpha last."""
    form = FORMATS[format]
    depth = 16 if picture.depth == 16 and form.bits > 8 else 8
    if "alpha" not in form.holds:
        picture = over_white(picture)
    pixels, alpha = picture.pixels, picture.alpha
    colors = _in_profile(pixels, picture.icc if "icc" in form.holds else None, depth)
    levels = colors if alpha is None else np.concatenate((colors, quantize(alpha, depth)[:, :, None]), axis=2)
    if picture.bands is not None and format == "tiff":
        kinds = kinds_in(picture.tiff_tags, picture.bands.shape[2], alpha is not None)
        levels = joined_bands(levels, quantize(picture.bands, depth), kinds)
    return _of_12_bits(levels) if depth > form.bits else levels


def levels_type(picture: Picture, format: str) -> tuple[np.dtype[Any], int]:
    """Type and channels of `levels_to_write`."""
    form = FORMATS[format]
    alpha = picture.alpha is not None and "alpha" in form.holds
    wide = picture.depth == 16 and form.bits > 8
    return np.dtype(np.uint16 if wide else np.uint8), picture.pixels.shape[2] + alpha


def _of_12_bits(levels: Levels) -> Levels:
    """Round 16 bits to 12, kept in the high bits: libvips would truncate, which darkens."""
    result = np.empty(levels.shape, np.uint16)
    for top in range(0, len(levels), _STRIP_ROWS):
        strip = levels[top : top + _STRIP_ROWS].astype(np.float32)
        strip *= np.float32(4095.0 / 65535.0 / 65535.0)  # so that `quantize` rounds to 0..4095
        result[top : top + _STRIP_ROWS] = quantize(strip, 16) << 4
    return result


def _in_profile(pixels: NDArray[np.float32], icc: bytes | None, depth: int) -> Levels:
    if icc is None or pixels.shape[2] != 3 or is_srgb(icc):
        return quantize(pixels, depth)
    exact = matrix_profile(icc)
    if exact is None:
        return from_srgb(quantize(pixels, 16), icc, depth)
    levels = np.empty(pixels.shape, np.uint16 if depth == 16 else np.uint8)
    for top in range(0, len(pixels), _STRIP_ROWS):  # in strips, to bound memory
        levels[top : top + _STRIP_ROWS] = quantize(exact.from_srgb(pixels[top : top + _STRIP_ROWS]), depth)
    return levels
