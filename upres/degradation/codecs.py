"""What saving does to a picture: real codecs, in memory, by libvips.

It is imported when a codec is first used: recipes without one, and training without a degradation, run on machines that lack it.
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
    """`image`, float32 `h w c`, clipped to [0,1] and rounded to 8 bit, written with `quality` 1..100 and read again; c 1 or 3 stays so.

    `subsample`: chroma at half the resolution (4:2:0) or the whole (4:4:4); WebP always halves it below its lossless mode, so there it is
    not asked. `shift` = (rows, columns), 0 to 7, moves the grid of blocks up and to the left by so many pixels: what is coded begins that
    much earlier, with reflected pixels, which are cut off again. Raises `UsageError` for an unknown format or quality, `EngineError`
    where this libvips lacks the format.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: expected one of {', '.join(FORMATS)}")
    if not 1 <= quality <= 100:
        raise UsageError(f"the quality of {format} must be 1 to 100, got {quality}")
    levels = np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    top, left = (int(pixels) % _GRID_PX for pixels in shift)
    if top or left:
        levels = np.pad(levels, ((top, 0), (left, 0), (0, 0)), mode="reflect")
    decoded = _round_trip(np.ascontiguousarray(levels), format, int(quality), subsample)
    return decoded[top:, left:].astype(np.float32) / np.float32(255.0)


def _round_trip(levels: NDArray[np.uint8], format: str, quality: int, subsample: bool) -> NDArray[np.uint8]:
    try:
        import pyvips

        from upres.images.vips import begin_pixels
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise EngineError(f"codecs need libvips, which cannot be loaded ({error}): pip install 'pyvips[binary]'") from error
    begin_pixels()
    height, width, channels = levels.shape
    source: Any = pyvips.Image.new_from_memory(levels.data, width, height, channels, "uchar")
    source = source.copy(interpretation="b-w" if channels == 1 else "srgb")
    try:
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
        pixels = np.frombuffer(decoded.write_to_memory(), np.uint8).reshape(decoded.height, decoded.width, decoded.bands)
    except pyvips.Error as error:
        words = str(error).strip()
        raise EngineError(f"this libvips cannot code {format}: {words}. pip install 'pyvips[binary]' brings one that can") from error
    if pixels.shape[:2] != (height, width):
        raise EngineError(f"{format} gave {pixels.shape[1]}x{pixels.shape[0]} pixels back for {width}x{height}")
    if channels == 1:
        return pixels[:, :, :1]
    return pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
