"""Numpy arrays and PIL images to `Picture`, and back to the kind they came in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images.picture import Picture, quantize

if TYPE_CHECKING:
    from PIL.Image import Image

Kind = TypeVar("Kind", Picture, NDArray[Any], "Image")  # what a caller gives, and gets back

_FAR_OUTSIDE = 0.5  # floats further outside [0, 1] than this are not overshoot: the array is probably in 0..255
_INFO_KEPT = ("icc_profile", "dpi", "exif", "xmp")  # keys of Image.info that stay valid after resizing
_PLAIN_MODES = {"1": "L", "La": "LA", "PA": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}  # PIL mode -> its equal in _MODES
_MODES = ("L", "LA", "RGB", "RGBA", "I;16", "I;16L", "I;16B")


def from_array(array: NDArray[Any]) -> Picture:
    """Convert an array to a `Picture`.

    Args:
        array: `h w` or `h w 1` (gray), `h w 2` (gray and alpha), `h w 3` (RGB) or `h w 4` (RGBA); uint8, uint16, or
            float in [0, 1] with some overshoot.

    Raises:
        InputError: The shape, the dtype or the range is another.
    """
    shape = array.shape
    if len(shape) not in (2, 3) or 0 in shape or (len(shape) == 3 and shape[2] > 4):
        hint = "; move the channels to the end" if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        raise InputError(f"expected an array of shape h w, or h w c with c from 1 to 4; got {shape}{hint}")
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        depth = 8 * array.dtype.itemsize
        values = array.astype(np.float32)
        values /= np.float32((1 << depth) - 1)
    elif array.dtype.kind == "f":
        depth = 16
        values = array.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if not -_FAR_OUTSIDE <= low <= high <= 1.0 + _FAR_OUTSIDE:  # NaN fails every comparison
            raise InputError(
                f"expected floats in [0, 1], got values from {low:g} to {high:g}; divide by the maximum of their range"
            )
    else:
        raise InputError(f"expected uint8, uint16 or floats in [0, 1], got {array.dtype}; convert with astype")
    if values.ndim == 2:
        values = values[:, :, None]
    colors = values.shape[2] - (values.shape[2] in (2, 4))
    alpha = np.clip(values[:, :, colors], 0.0, 1.0) if values.shape[2] > colors else None
    return Picture(np.ascontiguousarray(values[:, :, :colors]), alpha, depth=depth)


def to_array(picture: Picture, like: NDArray[Any]) -> NDArray[Any]:
    """`picture` as an array with the axes, channels and dtype of `like`; integers are rounded, floats not clipped."""
    values = picture.pixels
    if picture.alpha is not None:
        values = np.concatenate((values, picture.alpha[:, :, None]), axis=2)
    if like.ndim == 2:
        values = values[:, :, 0]
    return (quantize(values, picture.depth) if like.dtype.kind == "u" else values).astype(like.dtype, copy=False)


def is_pil(thing: object) -> TypeGuard[Image]:
    """Whether `thing` is a PIL image, without importing Pillow: if nobody has imported it, `thing` cannot be one."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(thing, module.Image)


def pil_to_array(image: Image) -> NDArray[Any]:
    """Pixels of an image of mode L, LA, RGB, RGBA or I;16, or of a mode that converts to one of these (1, P, ...).

    Raises `InputError` for other modes and for files that Pillow cannot decode.
    """
    if image.mode == "P" or (image.mode in ("L", "RGB") and "transparency" in image.info):
        image = image.convert({"L": "LA"}.get(image.mode, "RGBA") if "transparency" in image.info else "RGB")
    elif image.mode in _PLAIN_MODES:
        image = image.convert(_PLAIN_MODES[image.mode])
    if image.mode not in _MODES:
        raise InputError(
            f"PIL mode {image.mode} is not supported (expected {', '.join(_MODES[:5])}); "
            "convert it first, for example with .convert('RGB')"
        )
    try:
        return np.asarray(image)
    except OSError as error:  # Pillow decodes lazily: a truncated file fails here
        raise InputError(f"Pillow cannot decode the image: {error}") from error


def to_pil(array: NDArray[Any], like: Image) -> Image:
    """A PIL image of `array` with the color profile, DPI, EXIF and XMP of `like`."""
    from PIL import Image as images

    result = images.fromarray(array)
    result.info.update({name: like.info[name] for name in _INFO_KEPT if name in like.info})
    return result


def keep_kind(given: Kind, work: Callable[[Picture], Picture]) -> Kind:
    """`work` on a picture of any kind; the result has the kind of `given`.

    Raises:
        InputError: It is no `Picture`, numpy array or PIL image; the message tells how to make one.
    """
    if isinstance(given, Picture):
        return work(given)
    if isinstance(given, np.ndarray):
        return to_array(work(from_array(given)), given)
    if is_pil(given):
        values = pil_to_array(given)
        return to_pil(to_array(work(from_array(values)), values), given)
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    remedy = (
        "upres.read_picture reads files" if isinstance(given, str | os.PathLike) else "numpy.asarray may convert it"
    )
    raise InputError(f"expected a numpy array, a PIL image or an upres.Picture, got {kind}; {remedy}")
