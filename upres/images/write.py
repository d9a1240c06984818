"""Encode a `Picture` with its profile, metadata and resolution; write files atomically, and warn of any loss."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import errno
import io
import logging
import os
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutputError
from upres.images import png_chunks
from upres.images.bands import joined_bands, kinds_in
from upres.images.embed import embed, metadata_notes, needs_exif_item
from upres.images.icc import Levels, color_space, from_srgb, is_srgb, matrix_profile, wrap
from upres.images.picture import WRITABLE_FORMATS, Picture, quantize
from upres.images.vips import VipsError, attempt, begin_pixels, pyvips
from upres.images.xmp import upright
from upres.system.files import output_error, write_atomic
from upres.system.folders import exists, is_file, is_folder

_LOG = logging.getLogger(__name__)
_MM_PER_INCH = 25.4
_DPI_UNKNOWN = 72.0  # the value that EXIF (CIPA DC-008, tag 282) prescribes for an unknown resolution
# Longest side that the encoders accept; the formats themselves allow more for PNG, AVIF and (65,535) JPEG.
_LONGEST_PX = {"png": 1_000_000, "jpeg": 65_500, "webp": 16_383, "tiff": 10_000_000, "avif": 16_384}
_BITS = {"png": 16, "jpeg": 8, "webp": 8, "tiff": 16, "avif": 12}
_QUALITY = {"jpeg": 95, "webp": 95, "avif": 80}
_NO_EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a block without fields, in place of the one that is embedded later
_BIGTIFF_FROM = 3_500_000_000  # bytes of pixels; offsets in classic TIFF end at 4 GiB
# An upscaled 4 MP photograph, one thread, levels 1 / 2 / 3 / 6: filter "up" gives 5.5 / 3.7 / 3.4 / 3.2 MB in
# 0.05 / 0.08 / 0.10 / 0.31 s; "none" is twice as large, "sub" and "paeth" are larger and slower.
_PNG_LEVEL = 2
_STRIP_ROWS = 256


def check_writable(format: str, height: int, width: int, depth: int = 8) -> None:
    """Raise `OutputError` if `format` cannot hold a picture of this size and depth (8 or 16); call before the work."""
    _check_format(format)
    if depth not in (8, 16):
        raise OutputError(f"depth must be 8 or 16, got {depth}")
    if height < 1 or width < 1:
        raise OutputError(f"a picture has at least one pixel, got {width} x {height}")
    longest = _LONGEST_PX[format]
    if max(height, width) > longest:
        raise OutputError(
            f"{format} holds at most {longest:,} pixels a side, the result has {width:,} x {height:,}; write "
            f"{'tiff' if format == 'png' else 'png'}, or choose a smaller size"
        )


def writing_notes(picture: Picture, format: str) -> tuple[str, ...]:
    """What `format` cannot hold of this picture, as messages for the user. `encode_picture` logs them as warnings."""
    _check_format(format)
    notes: list[str] = []
    if picture.depth > _BITS[format]:
        notes.append(f"16 bits a sample were rounded to {_BITS[format]} for {format}; write png or tiff to keep them")
    if format == "jpeg" and picture.alpha is not None:
        notes.append("transparency was blended with white, since jpeg has none; write png to keep it")
    notes += metadata_notes(picture, format)
    return tuple(notes)


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    png_level: int | None = None,
) -> None:
    """Encode a picture and write it.

    Args:
        picture: What to write.
        target: A path, which is written atomically, or a file open for writing in binary mode.
        format: "png", "jpeg", "webp", "tiff" or "avif"; by default from the suffix of the path. An open file needs it.
        quality: 1 to 100, for jpeg (default 95), webp (95) and avif (80).
        png_level: zlib level, 0 (fast) to 9 (small); 2 by default.

    Raises:
        OutputError: The suffix is unknown, `format` cannot hold the picture, or the target cannot be written.
        ForkedError: The process was forked after its parent had decoded or encoded a picture.
    """
    if not isinstance(target, str | os.PathLike):
        _write_file(picture, target, format, quality, png_level)
        return
    target = Path(target)
    if format is None:
        format = WRITABLE_FORMATS.get(target.suffix.lower())
        if format is None:
            suffixes, found = ", ".join(WRITABLE_FORMATS), target.suffix or "none"
            raise OutputError(f"cannot write {target}: expected a suffix of {suffixes}; got {found}")
    check_target(target)
    write_atomic(target, encode_picture(picture, format, quality=quality, png_level=png_level))


def check_target(target: Path) -> None:
    """Raise `OutputError` for a folder or a device: the rename of an atomic write would replace the latter."""
    try:
        if exists(target) and not is_file(target):
            what = "folder" if is_folder(target) else "pipe or a device"
            raise OutputError(f"cannot write {target}: it is a {what}, expected a file name")
    except OSError as error:  # its folder may no longer be entered
        raise output_error(target, error) from error


def _write_file(
    picture: Picture, file: BinaryIO, format: str | None, quality: int | None, png_level: int | None
) -> None:
    if not hasattr(file, "write") or isinstance(file, io.TextIOBase):
        kind = f"{type(file).__module__}.{type(file).__qualname__}"
        raise OutputError(f"expected a path or a file open in binary mode, got {kind}; use io.BytesIO() for bytes")
    if format is None:
        raise OutputError(f"format is needed to write to an open file; expected one of {', '.join(_LONGEST_PX)}")
    left = memoryview(encode_picture(picture, format, quality=quality, png_level=png_level))
    try:
        while left:  # an unbuffered file may accept only a part
            taken = cast("int | None", file.write(left))
            if taken is None:  # a non-blocking raw file is full
                raise BlockingIOError(errno.EAGAIN, "the write would block")
            left = left[taken:]
        file.flush()
    except OSError as error:
        raise output_error(Path(str(getattr(file, "name", "the open file"))), error) from error


def encode_picture(picture: Picture, format: str, *, quality: int | None = None, png_level: int | None = None) -> bytes:
    """Encode a picture, logging its `writing_notes`. Arguments are those of `write_picture`.

    Raises `OutputError` if `format` cannot hold the picture or a pixel is NaN.
    """
    height, width = picture.pixels.shape[:2]
    check_writable(format, height, width, picture.depth)
    for note in writing_notes(picture, format):
        _LOG.warning("%s", note)
    image = wrap(levels_to_write(picture, format))
    if picture.bands is not None and picture.pixels.shape[2] == 1:  # several bands are no RGB
        image = image.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    image = describe(image, picture, format)
    begin_pixels()
    try:
        operation, options = save_options(picture, format, quality, png_level)
        data: bytes = attempt(lambda: pyvips.Operation.call(f"{operation}_buffer", image, **options))
    except VipsError as error:
        raise OutputError(
            f"cannot encode {width} x {height} pixels as {format}: {error}; choose another format"
        ) from error
    return embed(data, picture, format)


def _check_format(format: str) -> None:
    if format not in _LONGEST_PX:
        raise OutputError(f"format must be one of {', '.join(_LONGEST_PX)}, got {format!r}")


def levels_to_write(picture: Picture, format: str) -> Levels:
    """Levels h w c to encode, in the profile of the picture, alpha last."""
    depth = 16 if picture.depth == 16 and _BITS[format] > 8 else 8
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and format == "jpeg":
        pixels = pixels * alpha[:, :, None]
        pixels += 1.0 - alpha[:, :, None]
        alpha = None
    colors = _in_profile(pixels, picture.icc, depth)
    levels = colors if alpha is None else np.concatenate((colors, quantize(alpha, depth)[:, :, None]), axis=2)
    if picture.bands is not None and format == "tiff":
        kinds = kinds_in(picture.tiff_tags, picture.bands.shape[2], alpha is not None)
        levels = joined_bands(levels, quantize(picture.bands, depth), kinds)
    return _of_12_bits(levels) if depth > _BITS[format] else levels


def levels_type(picture: Picture, format: str) -> tuple[np.dtype[Any], int]:
    """Type and channels of `levels_to_write`."""
    alpha = picture.alpha is not None and format != "jpeg"
    wide = picture.depth == 16 and _BITS[format] > 8
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


def png_of(levels: Levels, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """Levels h w c (alpha last) as an uncompressed PNG with metadata: what other decoders read, for ours."""
    image = wrap(levels)
    for name, value in (("icc-profile-data", icc), ("xmp-data", xmp)):
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    begin_pixels()
    data: bytes = attempt(lambda: image.pngsave_buffer(compression=0, filter="none", keep="icc:xmp"))
    added = [] if exif is None else [png_chunks.chunk(b"eXIf", exif)]
    return png_chunks.with_chunks(data, added, (b"pHYs",))


def describe(image: Any, picture: Picture, format: str) -> Any:
    """The image with its profile, XMP and resolution."""
    dpi = picture.dpi or (_DPI_UNKNOWN, _DPI_UNKNOWN)
    image = image.copy(yres=dpi[0] / _MM_PER_INCH, xres=dpi[1] / _MM_PER_INCH)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    blob = pyvips.GValue.blob_type
    space = "gray" if picture.pixels.shape[2] == 1 else "RGB"
    if picture.icc is not None and color_space(picture.icc) == space:
        image.set_type(blob, "icc-profile-data", picture.icc)
    if needs_exif_item(picture, format):
        image.set_type(blob, "exif-data", _NO_EXIF)
    if picture.xmp is not None:
        image.set_type(blob, "xmp-data", upright(picture.xmp))
    return image


def save_options(
    picture: Picture, format: str, quality: int | None, png_level: int | None
) -> tuple[str, dict[str, Any]]:
    """The operation of libvips that encodes `format`, such as "pngsave", and its options."""
    common: dict[str, Any] = {"keep": "icc:xmp:exif" if needs_exif_item(picture, format) else "icc:xmp"}
    q = quality if quality is not None else _QUALITY.get(format, 0)
    level = png_level if png_level is not None else _PNG_LEVEL
    if format == "png":
        return "pngsave", {"compression": level, "filter": "up" if level else "none", **common}
    if format == "jpeg":
        return "jpegsave", {"Q": q, "subsample_mode": "off", **common}
    if format == "webp":
        return "webpsave", {"Q": q, "smart_subsample": True, **common}
    if format == "avif":
        bits = 12 if picture.depth == 16 else 8
        return "heifsave", {"Q": q, "compression": "av1", "bitdepth": bits, "subsample_mode": "off", **common}
    dtype, channels = levels_type(picture, format)
    size = picture.pixels.shape[0] * picture.pixels.shape[1] * channels * dtype.itemsize
    return "tiffsave", {
        "compression": "deflate",
        "predictor": "horizontal",
        "bigtiff": size > _BIGTIFF_FROM,
        **common,
    }
