"""What a picture is once it is in memory, the formats that we read and write, and the one place where pixels are rounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutputError

READABLE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".tif", ".tiff", ".avif", ".gif"})
WRITABLE_FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".avif": "avif",
}
_BLOCK_VALUES = 1 << 20  # values rounded at a time: small beside the picture, large beside the cost of a call


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture and everything that is to be written back with it.

    `pixels` float32 `h w c`, c 1 (gray) or 3 (RGB), sRGB-encoded, [0,1], upright; gray values are as the file has them. `alpha` float32
    `h w` in [0,1] or None; color is not premultiplied. `depth` is 8 or 16 bits a sample. `icc` is the profile of the file, which writing
    converts back to; None is sRGB, or none. `exif` is a TIFF structure without its "Exif" prefix. `dpi` is in (h, w) order. `format` is the
    name of the format it came in. `notes` are sentences that the user should see.
    With an `icc` wider than sRGB, such as Display P3, `pixels` may lie outside [0,1] (sRGB's curve, odd about 0): nothing is clipped.
    """

    pixels: NDArray[np.float32]
    alpha: NDArray[np.float32] | None = None
    depth: int = 8
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    format: str = "png"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture before anything is decoded; the size is that of the upright picture, `channels` is 1 or 3."""

    height: int
    width: int
    channels: int
    has_alpha: bool
    depth: int
    format: str


@overload
def quantize(x: NDArray[np.float32], depth: Literal[8]) -> NDArray[np.uint8]: ...
@overload
def quantize(x: NDArray[np.float32], depth: Literal[16]) -> NDArray[np.uint16]: ...
@overload
def quantize(x: NDArray[np.float32], depth: int) -> NDArray[np.uint8] | NDArray[np.uint16]: ...
def quantize(x: NDArray[np.float32], depth: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Floats to whole levels: round(clip(x, 0, 1) * max), max 255 for depth 8 and 65535 for depth 16; any shape.

    Raises `OutputError` where a value is not a number: there is no honest level for it.
    """
    if depth == 8:
        levels: NDArray[np.uint8] | NDArray[np.uint16] = np.empty(x.shape, np.uint8)
    elif depth == 16:
        levels = np.empty(x.shape, np.uint16)
    else:
        raise OutputError(f"a picture has 8 or 16 bits a sample, got depth {depth}")
    top = np.float32((1 << depth) - 1)
    source, target = np.atleast_1d(x), levels.reshape(levels.shape or (1,))
    rows = max(1, _BLOCK_VALUES // max(1, int(np.prod(source.shape[1:]))))
    for start in range(0, len(source), rows):  # in blocks: a second float copy of a 100 MP picture would be 1.2 GB
        block = np.clip(source[start : start + rows], 0.0, 1.0)
        np.multiply(block, top, out=block)
        np.rint(block, out=block)
        if np.isnan(block.min(initial=0.0)):
            raise OutputError("the picture holds values that are not numbers, expected [0, 1]: the model or the engine is at fault")
        target[start : start + rows] = block
    return levels
