"""The pictures that are measured or shown side by side: LR and HR in 8 bits, cropped alike, and what a model makes of
LR.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.io import Picture, quantize, read_picture
from upres.images.pairing import common_size, misfit
from upres.images.resize import imresize
from upres.upscaling.upscaler import Upscaler

Levels = NDArray[np.uint8]  # h w 3
# Copies of the floats of HR that the measures take, in doubles: 4 megapixels took 604 MB.
_COPIES = 10.0


def to_levels(picture: Picture) -> Levels:
    """8-bit RGB `h w 3` of a picture; gray as R = G = B."""
    pixels: Levels = quantize(picture.pixels, 8)
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def crop_to_multiple(hr: Levels, scale: int) -> Levels:
    """Crop `h w c` at the bottom and right to multiples of `scale`."""
    height, width = hr.shape[0] // scale * scale, hr.shape[1] // scale * scale
    return hr[:height, :width]


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A test picture.

    name: The file name.
    lr: uint8 `h w 3`.
    hr: uint8, `scale` times as high and as wide; None where there is no ground truth.
    notes: For the user.
    """

    name: str
    lr: Levels
    hr: Levels | None
    notes: tuple[str, ...] = ()


def load_test_picture(hr: Path | None, lr: Path | None, scale: int) -> LoadedPicture:
    """Read a pair. Without `lr`, LR is HR reduced by the MATLAB-compatible cubic resize, in 8 bits.

    Raises `InputError` for a file that cannot be read, and for sizes that do not fit.
    """
    low = None if lr is None else read_picture(lr, copies=0.0 if hr is not None else _COPIES * scale**2)
    if hr is None:
        assert lr is not None and low is not None
        return LoadedPicture(lr.name, to_levels(low), None, _notes(lr.name, low))
    high = read_picture(hr, copies=_COPIES)
    levels = to_levels(high)
    if low is None:
        cropped = crop_to_multiple(levels, scale)
        if 0 in cropped.shape:
            raise InputError(f"{hr.name} is {levels.shape[1]} x {levels.shape[0]}, smaller than the scale {scale}")
        reduced = imresize(cropped, size=(cropped.shape[0] // scale, cropped.shape[1] // scale))
        return LoadedPicture(hr.name, reduced, cropped, _notes(hr.name, high))
    sizes = (levels.shape[0], levels.shape[1]), (low.pixels.shape[0], low.pixels.shape[1])
    size = common_size(*sizes, scale)
    if size is None:
        raise InputError(misfit(*sizes, scale, hr.name))
    height, width = size
    notes = _notes(hr.name, high)
    return LoadedPicture(hr.name, to_levels(low)[:height, :width], levels[: height * scale, : width * scale], notes)


def _notes(name: str, picture: Picture) -> tuple[str, ...]:
    transparent = () if picture.alpha is None else (f"{name}: transparency is not measured",)
    return (*transparent, *(f"{name}: {note}" for note in picture.notes))


def upscale(upscaler: Upscaler, lr: Levels) -> Levels:
    """Run the model at its own scale, 8 bit to 8 bit."""
    return quantize(upscaler.upscale_array(lr.astype(np.float32) / np.float32(255.0)), 8)
