"""Reduce a picture to its true resolution before it is enlarged.

A soft scan, or a picture that was enlarged before, holds less than its pixels say. A network that learned from sharp LR
does little for it: reduced first, by what `upres.inspection` finds, it is what the network knows.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upres.images.io import Picture, resized
from upres.images.resize import imresize
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.output_size import OutputSize

LEAST = 1.15  # a picture that looks enlarged by less stays as it is: the estimate is right within 10 %
_LEAST_SIDE_PX = 8


def at_true_size(
    picture: Picture, size: OutputSize | None, options: UpscaleOptions, native: int
) -> tuple[Picture, OutputSize | None, tuple[str, ...]]:
    """With `options.true_size` the picture, reduced by the MATLAB-equal bicubic resize where it looks enlarged; the
    size of its result, as it would be without that; and notes for the user.

    size: The output size wanted; None: `native`, the model's own scale.
    """
    if not options.true_size:
        return picture, size, ()
    wanted = OutputSize(exact=(size or OutputSize()).resolve(*picture.pixels.shape[:2], native=native))
    picture, note = reduced(picture)
    return picture, wanted, (note,)


def reduced(picture: Picture) -> tuple[Picture, str]:
    """The picture at its true size, and a note for the user."""
    from upres.inspection.inspect import inspect_decoded  # only who asks for it pays for the look

    scale = inspect_decoded(picture).true_scale
    height, width = picture.pixels.shape[:2]
    if scale is None:
        return picture, "its true resolution cannot be told, so it was not reduced"
    size = (_side(height, scale), _side(width, scale))
    if scale < LEAST or min(size) < _LEAST_SIDE_PX:
        return picture, "it has full detail for its size, so it was not reduced"
    small = resized(
        replace(picture, notes=()),
        _resized(picture.pixels, size),
        None if picture.alpha is None else _resized(picture.alpha[:, :, None], size)[:, :, 0],
        None if picture.bands is None else _resized(picture.bands, size),
    )
    small = replace(small, notes=picture.notes)  # that lengths were scaled is told once, with the result
    return small, f"it looks enlarged {scale:.1f} times, so it was reduced to {size[1]} x {size[0]} first"


def _side(side: int, scale: float) -> int:
    return max(1, math.floor(side / scale + 0.5))


def _resized(levels: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", np.clip(imresize(levels, size=size), 0.0, 1.0))
