"""16-bit data that use only the lower bits: a network sees them as a nearly black picture unless they are stretched.

Scanners, microscopes and cameras store 10, 12 or 14 bits in 16. The range in use is mapped to [0, 1] for the network
and back, so levels keep their meaning; the network was trained on pictures that use their whole range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.images.io import Picture

Array = NDArray[np.float32]
_TOP = 65535
_BITS = (8, 10, 12, 14)
_WHOLE = 0.02  # levels: float32 holds 16-bit levels to 0.004
_ROWS = 256


def bits_in_use(picture: Picture) -> int | None:
    """How many bits a 16-bit picture uses, if fewer: 8, 10, 12 or 14; None for all 16, for 8-bit pictures, for floats
    that are no levels, and for pictures with a color profile, whose levels are colors.
    """
    bits = bits_up_to(picture, float(picture.pixels.max(initial=0.0)))
    if bits is None or float(picture.pixels.min(initial=0.0)) < 0.0:
        return None
    for top in range(0, len(picture.pixels), _ROWS):
        levels = picture.pixels[top : top + _ROWS] * np.float32(_TOP)
        if np.abs(levels - np.rint(levels)).max(initial=0.0) > _WHOLE:
            return None
    return bits


def bits_up_to(picture: Picture, highest: float) -> int | None:
    """As `bits_in_use`, for a picture of levels with the value `highest` at most; its pixels are not looked at."""
    if picture.depth != 16 or picture.icc is not None or picture.scene is not None or highest * _TOP < 1.0:
        return None
    return next((bits for bits in _BITS if highest * _TOP <= (1 << bits) - 1 + _WHOLE), None)


def stretched(pixels: Array, bits: int) -> Array:
    """Pixels with the highest level of `bits` at 1."""
    return pixels * np.float32(_TOP / ((1 << bits) - 1))


def restore(pixels: Array, bits: int) -> None:
    """In place: the levels of the source again, none beyond the highest of `bits`."""
    np.clip(pixels, 0.0, 1.0, out=pixels)
    pixels *= np.float32(((1 << bits) - 1) / _TOP)
