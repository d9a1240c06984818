"""Lossy compression by real codecs, in memory, with libvips, which is imported on first use: everything else works
without it.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upres.errors import EngineError, UsageError

Array = NDArray[np.float32]
FORMATS: Final = ("jpeg", "webp", "avif")
_GRID_PX: Final = 8  # of JPEG's blocks


def recode(image: Array, format: str, quality: int, subsample: bool, shift: Sequence[int]) -> Array:
    """`image`, float32 `h w c`, clipped to [0,1] and rounded to 8 bit, encoded and decoded; c 1 or 3 is kept.

    format: one of `FORMATS`. quality: 1 to 100. subsample: chroma at half the resolution (4:2:0) or in full (4:4:4);
    ignored for WebP, whose lossy mode always halves it. shift: (rows, columns), 0 to 7, by which the grid of blocks
    moves up and left: reflected pixels are encoded before the picture.

    Raises `UsageError` for an unknown format or quality, `EngineError` if this libvips lacks the format.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: expected one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality of {format} must be in [1, 100], got {quality}")
    levels = np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    top, left = (int(pixels) % _GRID_PX for pixels in shift)
    if top or left:
        levels = np.pad(levels, ((top, 0), (left, 0), (0, 0)), mode="reflect")
    decoded = _round_trip(np.ascontiguousarray(levels), format, int(quality), subsample)
    return decoded[top:, left:].astype(np.float32) / np.float32(255.0)


def _round_trip(levels: NDArray[np.uint8], format: str, quality: int, subsample: bool) -> NDArray[np.uint8]:
    from upres.images.vips import VipsError, attempt, begin_pixels, pyvips

    begin_pixels()
    height, width, channels = levels.shape

    def round_trip() -> NDArray[np.uint8]:
        source: Any = pyvips.Image.new_from_memory(levels.data, width, height, channels, "uchar")
        source = source.copy(interpretation="b-w" if channels == 1 else "srgb")
        if format == "jpeg":
            data = source.jpegsave_buffer(Q=quality, subsample_mode="on" if subsample else "off", keep="none")
            decoded: Any = pyvips.Image.jpegload_buffer(data, access="sequential")
        elif format == "webp":
            data = source.webpsave_buffer(Q=quality, effort=2, keep="none")
            decoded = pyvips.Image.webpload_buffer(data, access="sequential")
        else:
            mode = "on" if subsample else "off"
            data = source.heifsave_buffer(Q=quality, compression="av1", effort=0, subsample_mode=mode, keep="none")
            decoded = pyvips.Image.heifload_buffer(data, access="sequential")
        memory = decoded.write_to_memory()
        return np.frombuffer(memory, np.uint8).reshape(decoded.height, decoded.width, decoded.bands)

    try:
        pixels = attempt(round_trip)
    except VipsError as error:
        raise EngineError(
            f"this libvips cannot encode {format}: {error}. pip install 'pyvips[binary]' brings one that can"
        ) from error
    if pixels.shape[:2] != (height, width):
        raise EngineError(f"{format} returned {pixels.shape[1]}x{pixels.shape[0]} pixels for {width}x{height}")
    if channels == 1:
        return pixels[:, :, :1]
    return pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
