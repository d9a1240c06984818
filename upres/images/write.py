"""Picture -> file or bytes, with its profile, metadata and resolution; never a half-written file, and no loss that is not said."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips has no types; what crosses the border of this module is annotated.

from __future__ import annotations

import errno
import io
import logging
import os
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyvips
from numpy.typing import NDArray

from upres.errors import OutputError
from upres.images.icc import Levels, color_space, first_line, from_srgb, is_srgb, matrix_profile, wrap
from upres.images.picture import WRITABLE_FORMATS, Picture, quantize
from upres.images.vips import begin_pixels
from upres.system.files import output_error, write_atomic

_LOG = logging.getLogger(__name__)
_MM_PER_INCH = 25.4
_DPI_UNKNOWN = 72.0  # what EXIF (CIPA DC-008, tag 282) wants to be written where nothing is known
# Longest side: the format could hold 65,535 for JPEG and more for PNG and AVIF, but these are where the encoders stop.
_LONGEST_PX = {"png": 1_000_000, "jpeg": 65_500, "webp": 16_383, "tiff": 10_000_000, "avif": 16_384}
_BITS = {"png": 16, "jpeg": 8, "webp": 8, "tiff": 16, "avif": 12}
_QUALITY = {"jpeg": 95, "webp": 95, "avif": 80}
_EXIF_BYTES_JPEG = 65_000  # one APP1 segment, less its prefix
_BIGTIFF_FROM = 3_500_000_000  # bytes of pixels; offsets of a plain TIFF end at 4 GiB
# A 4 MP photograph, enlarged, in one thread: filter "up" 5.5 / 3.7 / 3.4 / 3.2 MB in 0.05 / 0.08 / 0.10 / 0.31 s at levels 1 / 2 / 3 / 6;
# "none" is twice as large, "sub" and "paeth" are larger and slower. Level 2 is where a second more buys least.
_PNG_LEVEL = 2
_STRIP_ROWS = 256
_TURNED = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>\s*))[2-8]""")  # in XMP, as an attribute or as an element


def check_writable(format: str, height: int, width: int, depth: int = 8) -> None:
    """Raise `OutputError` where `format` cannot hold a picture of that size and depth (8 or 16): to be asked before the work is done."""
    _check_format(format)
    if depth not in (8, 16):
        raise OutputError(f"a picture has 8 or 16 bits a sample, got depth {depth}")
    if height < 1 or width < 1:
        raise OutputError(f"a picture has at least one pixel, got {width} x {height}")
    longest = _LONGEST_PX[format]
    if max(height, width) > longest:
        raise OutputError(
            f"{format} holds at most {longest:,} pixels a side, the result has {width:,} x {height:,}: write "
            f"{'tiff' if format == 'png' else 'png'}, or ask for a smaller size"
        )


def writing_notes(picture: Picture, format: str) -> tuple[str, ...]:
    """What `format` cannot hold of this picture, in sentences for the user; `encode_picture` logs them as warnings."""
    _check_format(format)
    notes: list[str] = []
    if picture.depth > _BITS[format]:
        notes.append(f"{format} holds {_BITS[format]} bits a sample, so 16 bits were rounded: write png or tiff to keep them")
    if format == "jpeg" and picture.alpha is not None:
        notes.append("jpeg holds no transparency, so the picture was laid on white: write png to keep it")
    if picture.exif is not None:
        if format == "tiff":
            notes.append("EXIF is not written to tiff: write png or jpeg to keep it")
        elif format == "jpeg" and len(picture.exif) > _EXIF_BYTES_JPEG:
            notes.append(f"its EXIF of {len(picture.exif):,} bytes does not fit into jpeg: write png to keep it")
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
        target: The path of a file, which appears whole or not at all, or a file open for writing in binary mode.
        format: "png", "jpeg", "webp", "tiff" or "avif"; None takes it from the ending of the path, and a file needs it.
        quality: 1 to 100, for jpeg, webp and avif.
        png_level: 0 (fast) to 9 (small), for png.

    Raises:
        OutputError: The ending is unknown, the format cannot hold the picture, the disk is full, or permission is missing.
        ForkedError: This process was forked after its parent had decoded or encoded a picture.
    """
    if not isinstance(target, str | os.PathLike):
        _write_file(picture, target, format, quality, png_level)
        return
    target = Path(target)
    if format is None:
        format = WRITABLE_FORMATS.get(target.suffix.lower())
        if format is None:
            endings = ", ".join(WRITABLE_FORMATS)
            raise OutputError(f"cannot write {target}: expected an ending of {endings}, found {target.suffix or 'none'}")
    if target.exists() and not target.is_file():  # renaming over a device would take it away from everyone
        what = "folder" if target.is_dir() else "pipe or a device"
        raise OutputError(f"cannot write {target}: it is a {what}, expected the name of a file")
    write_atomic(target, encode_picture(picture, format, quality=quality, png_level=png_level))


def _write_file(picture: Picture, file: BinaryIO, format: str | None, quality: int | None, png_level: int | None) -> None:
    if not hasattr(file, "write") or isinstance(file, io.TextIOBase):
        kind = f"{type(file).__module__}.{type(file).__qualname__}"
        raise OutputError(f"expected a path or a file open in binary mode, got {kind}: io.BytesIO() collects the bytes")
    if format is None:
        raise OutputError(f"format is needed to write to an open file; expected one of {', '.join(_LONGEST_PX)}")
    left = memoryview(encode_picture(picture, format, quality=quality, png_level=png_level))
    try:
        while left:  # an unbuffered file may take a part only
            taken = cast("int | None", file.write(left))
            if taken is None:  # a raw file that does not block and is full
                raise BlockingIOError(errno.EAGAIN, "the file takes no more now")
            left = left[taken:]
        file.flush()
    except OSError as error:
        raise output_error(Path(str(getattr(file, "name", "the open file"))), error) from error


def encode_picture(picture: Picture, format: str, *, quality: int | None = None, png_level: int | None = None) -> bytes:
    """The bytes of a file. `quality` 1 to 100 for jpeg, webp and avif; `png_level` 0 (fast) to 9 (small) for png.

    Logs `writing_notes`. Raises `OutputError` for what `format` cannot hold and for values that are not numbers.
    """
    height, width = picture.pixels.shape[:2]
    check_writable(format, height, width, picture.depth)
    for note in writing_notes(picture, format):
        _LOG.warning("%s", note)
    image = _describe(wrap(_levels(picture, format)), picture, format)
    begin_pixels()
    try:
        data = _save(image, picture, format, quality, png_level)
    except pyvips.Error as error:
        raise OutputError(f"cannot encode a {format} of {width} x {height}: {first_line(error)}. Write another format") from error
    if format == "jpeg":
        return _with_jfif(data, picture.dpi)
    return _without_phys(data) if format == "png" and picture.dpi is None else data


def _check_format(format: str) -> None:
    if format not in _LONGEST_PX:
        raise OutputError(f"cannot write the format {format!r}: expected one of {', '.join(_LONGEST_PX)}")


def _levels(picture: Picture, format: str) -> Levels:
    """Whole levels h w c, alpha last, in the colors of the file that is written."""
    depth = 16 if picture.depth == 16 and _BITS[format] > 8 else 8
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and format == "jpeg":
        pixels = pixels * alpha[:, :, None]
        pixels += 1.0 - alpha[:, :, None]
        alpha = None
    colors = _in_profile(pixels, picture.icc, depth)
    levels = colors if alpha is None else np.concatenate((colors, quantize(alpha, depth)[:, :, None]), axis=2)
    return _of_12_bits(levels) if depth > _BITS[format] else levels


def _of_12_bits(levels: Levels) -> Levels:
    """16 bits rounded to 12, which stand on top: libvips itself cuts the lower four off, which darkens."""
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
    for top in range(0, len(pixels), _STRIP_ROWS):  # no second float copy of the picture
        levels[top : top + _STRIP_ROWS] = quantize(exact.from_srgb(pixels[top : top + _STRIP_ROWS]), depth)
    return levels


def _describe(image: Any, picture: Picture, format: str) -> Any:
    """The image with its profile, EXIF, XMP and resolution."""
    dpi = picture.dpi or (_DPI_UNKNOWN, _DPI_UNKNOWN)
    image = image.copy(yres=dpi[0] / _MM_PER_INCH, xres=dpi[1] / _MM_PER_INCH)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    blob = pyvips.GValue.blob_type
    space = "gray" if picture.pixels.shape[2] == 1 else "RGB"
    if picture.icc is not None and color_space(picture.icc) == space:
        image.set_type(blob, "icc-profile-data", picture.icc)
    if picture.exif is not None:  # libvips sets the orientation, the size and the resolution in it
        image.set_type(blob, "exif-data", _without_thumbnail(picture.exif))
        image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if picture.xmp is not None:
        image.set_type(blob, "xmp-data", _TURNED.sub(rb"\g<1>1", picture.xmp))  # the pixels are upright already
    return image


def _without_thumbnail(exif: bytes) -> bytes:
    """EXIF without its second directory, which holds a thumbnail of the picture as it was (TIFF 6.0, section 2: a chain of directories)."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(exif[:4])
    if order not in ("little", "big"):
        return exif
    first = int.from_bytes(exif[4:8], order)
    link = first + 2 + 12 * int.from_bytes(exif[first : first + 2], order)
    return exif[:link] + bytes(4) + exif[link + 4 :] if link + 4 <= len(exif) else exif


def _save(image: Any, picture: Picture, format: str, quality: int | None, png_level: int | None) -> bytes:
    keep = ["icc", "xmp"]
    only_place_for_dpi = picture.dpi is not None and format in ("webp", "avif")
    fits = format != "jpeg" or picture.exif is None or len(picture.exif) <= _EXIF_BYTES_JPEG
    if (picture.exif is not None or only_place_for_dpi) and fits:
        keep.append("exif")  # not otherwise: libvips would invent one
    common: dict[str, Any] = {"keep": ":".join(keep)}
    q = quality if quality is not None else _QUALITY.get(format, 0)
    level = png_level if png_level is not None else _PNG_LEVEL
    if format == "png":
        return image.pngsave_buffer(compression=level, filter="up" if level else "none", **common)
    if format == "jpeg":
        return image.jpegsave_buffer(Q=q, subsample_mode="off", **common)
    if format == "webp":
        return image.webpsave_buffer(Q=q, smart_subsample=True, **common)
    if format == "avif":
        bits = 12 if picture.depth == 16 else 8
        return image.heifsave_buffer(Q=q, compression="av1", bitdepth=bits, subsample_mode="off", **common)
    size = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
    return image.tiffsave_buffer(compression="deflate", predictor="horizontal", bigtiff=size > _BIGTIFF_FROM, **common)


def _with_jfif(data: bytes, dpi: tuple[float, float] | None) -> bytes:
    """The JPEG with the JFIF header that libvips leaves out when it has no EXIF to write, as the place of the resolution (JFIF 1.02)."""
    if data[2:4] == b"\xff\xe0" or data[6:10] == b"Exif":  # there already, or not needed: EXIF says it too and must itself come first
        return data
    height, width = (1, 1) if dpi is None else (min(65_535, max(1, round(value))) for value in dpi)
    return b"".join((data[:2], b"\xff\xe0\0\x10JFIF\0\1\2", struct.pack(">BHHBB", dpi is not None, width, height, 0, 0), data[2:]))


def _without_phys(png: bytes) -> bytes:
    """The PNG without the resolution that libvips always writes: what was not said stays unsaid."""
    at = png.find(b"pHYs", 0, png.find(b"IDAT")) - 4
    return png[:at] + png[at + 21 :] if at > 0 else png  # length, name, 9 bytes, check sum
