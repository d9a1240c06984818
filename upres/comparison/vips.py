"""Lines of text as masks, and lossless WebP: what the comparison needs of libvips."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutputError
from upres.images.vips import VipsError, attempt, begin_pixels, pyvips

_FONTS = "DejaVu Sans, Noto Sans, Segoe UI, Helvetica Neue, sans-serif"


@dataclass(frozen=True, slots=True)
class Mask:
    """A drawn line of text.

    coverage: uint8 `h w` of the inked part.
    left: Its distance from the origin of the line, in pixels.
    top: Its distance from the top of the line, in pixels.
    """

    coverage: NDArray[np.uint8]
    left: int
    top: int


def clean(text: str) -> str:
    """`text` on one line, without control characters and with `?` for what is no character (broken file names)."""
    encodable = text.encode("utf-8", "replace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in encodable)


@lru_cache(maxsize=4096)
def draw_text(text: str, height_px: float, bold: bool = False) -> Mask:
    """Draw one line.

    text: Cleaned by `clean`; not empty.
    height_px: The em size of the font.

    Raises `OutputError` where no font can draw it.
    """
    begin_pixels()
    font = f"{_FONTS} {'Bold ' if bold else ''}{height_px:g}px"
    try:
        image: Any = attempt(lambda: pyvips.Image.text(html.escape(text, quote=False), font=font).copy_memory())
    except VipsError as error:
        raise OutputError(f"cannot draw text ({error}): install a font, such as Debian's fonts-dejavu") from error
    return Mask(np.asarray(image.numpy(), np.uint8).reshape(image.height, image.width), image.xoffset, image.yoffset)


def text_width(text: str, height_px: float, bold: bool = False) -> int:
    """The width of a line, in pixels."""
    if not text.strip():
        return 0
    mask = draw_text(text, height_px, bold)
    return mask.left + mask.coverage.shape[1]


def fit_text(text: str, room_px: float, height_px: float, bold: bool = False) -> str:
    """`text`, cleaned, and shortened in the middle until it fits into `room_px`."""
    whole = text = clean(text)
    kept = len(whole)
    while kept > 0 and text_width(text, height_px, bold) > room_px:
        kept -= 1
        text = f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
    return text


def lossless_webp(levels: NDArray[np.uint8]) -> bytes:
    """Encode uint8 `h w 3` without loss; no side may exceed 16,383 pixels."""
    begin_pixels()
    pixels = np.ascontiguousarray(levels)
    image: Any = pyvips.Image.new_from_memory(pixels.data, levels.shape[1], levels.shape[0], 3, "uchar")
    image = image.copy(interpretation="srgb")
    try:
        return attempt(lambda: image.webpsave_buffer(lossless=True, effort=2, keep="none"))
    except VipsError as error:
        raise OutputError(f"cannot encode a picture of the page as WebP: {error}") from error
