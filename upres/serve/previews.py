"""Small views of a picture, for pages: a thumbnail, or a part of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.io import Picture, encode_picture, read_picture
from upres.images.resize import imresize

Array = NDArray[np.float32]
Crop = tuple[int, int, int, int]


def make_preview(data: bytes, side_px: int, crop: Crop | None, max_pixels: int) -> bytes:
    """A PNG of the picture in `data`, in sRGB of 8 bits.

    side_px: Its longer side at most; a picture is never enlarged.
    crop: (left, top, width, height) of the part to show, in pixels; it is cut to the picture.
    max_pixels: Limit of what is decoded.

    Raises `InputError` for what is no picture, and for a crop beside it.
    """
    picture = read_picture(data, max_pixels=max_pixels)
    pixels, alpha = picture.pixels, picture.alpha
    if crop is not None:
        left, top, width, height = crop
        rows, columns = slice(max(0, top), max(0, top + height)), slice(max(0, left), max(0, left + width))
        pixels, alpha = pixels[rows, columns], None if alpha is None else alpha[rows, columns]
        if 0 in pixels.shape:
            full = picture.pixels.shape
            raise InputError(f"the crop lies beside the picture, which has {full[1]} x {full[0]} pixels")
    factor = min(1.0, side_px / max(pixels.shape[:2]))
    if alpha is not None:
        alpha = _reduced(alpha[:, :, None], factor)[:, :, 0]
    small = Picture(np.ascontiguousarray(_reduced(pixels, factor)), alpha, format="png")
    return encode_picture(small, "png")


def _reduced(values: Array, factor: float) -> Array:
    if factor == 1.0:
        return np.ascontiguousarray(values)
    height, width = (max(1, round(side * factor)) for side in values.shape[:2])
    return np.clip(imresize(values, size=(height, width), kernel="area"), 0.0, 1.0)
