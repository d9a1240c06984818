"""Encode pictures by packages other than libvips, each an extra that is loaded at first use; PNM is written here.

Pillow writes BMP and TGA, pillow-heif HEIC, pyjpegxl JPEG XL, imagecodecs JPEG 2000 and Radiance HDR, OpenEXR its own.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import OutputError
from upres.images import exif as exif_block
from upres.images.formats import FORMATS
from upres.images.icc import Levels, color_space, is_srgb
from upres.images.iso_boxes import BoxMetadata, with_jp2, with_jxl
from upres.images.levels import levels_to_write
from upres.images.picture import Picture
from upres.images.scene import exr_of, hdr_of
from upres.images.xmp import upright
from upres.system.packages import has_module, install_command
from upres.system.text import first_line

_JXL_FARTHEST = 15.0  # what pyjpegxl calls quality is a distance, up to this


def check_installed(format: str) -> None:
    """Raise `OutputError` if the package that encodes `format` is not installed, with the command that installs it."""
    form = FORMATS[format]
    if form.module and not has_module(form.module):
        raise OutputError(f"{format} is written by another package: {install_command(form.extra)}")


def encoder_of(picture: Picture, format: str) -> Callable[[int | None], bytes]:
    """A function of the quality that encodes the picture; `format` is one with a `module`, or "pnm" or "pam".

    The function raises `OutputError` where the package does not take the picture.
    """
    check_installed(format)
    if format in ("exr", "hdr"):

        def work(quality: int | None) -> bytes:
            return _SCENES[format](picture)
    else:
        levels, metadata = levels_to_write(picture, format), _metadata(picture, format)

        def work(quality: int | None) -> bytes:
            return _ENCODERS[format](levels, metadata, quality or FORMATS[format].quality)

    def encode(quality: int | None) -> bytes:
        try:
            return work(quality)
        except (OutputError, MemoryError):
            raise
        except Exception as error:  # each package has errors of its own kinds
            height, width = picture.pixels.shape[:2]
            why = first_line(str(error)) or type(error).__name__
            raise OutputError(
                f"cannot encode {width} x {height} pixels as {format}: {why}; choose another format"
            ) from error

    return encode


def _metadata(picture: Picture, format: str) -> BoxMetadata:
    """What the format holds, as it is true of the result."""
    height, width = picture.pixels.shape[:2]
    space = "gray" if picture.pixels.shape[2] == 1 else "RGB"
    icc = picture.icc if picture.icc is not None and color_space(picture.icc) == space else None
    if icc is not None and space == "RGB" and is_srgb(icc) and format != "heic":
        icc = None  # it says what the format says without it
    block = None if picture.exif is None else exif_block.made_true(picture.exif, height, width, picture.dpi)
    if block is None and picture.dpi is not None and format in ("heic", "jxl"):
        block = exif_block.of_resolution(picture.dpi)
    xmp = None if picture.xmp is None else upright(picture.xmp)
    return BoxMetadata(icc, block, xmp, picture.dpi)


def _pillow(format: str) -> Callable[[Levels, BoxMetadata, int | None], bytes]:
    def encode(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
        from PIL import Image

        image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
        file = io.BytesIO()
        options: dict[str, Any] = {"compression": "tga_rle"} if format == "TGA" else {}
        if format == "BMP" and metadata.dpi is not None:
            options["dpi"] = metadata.dpi[::-1]
        image.save(file, format, **options)
        return file.getvalue()

    return encode


def _heic(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
    import pillow_heif

    pillow_heif.options.SAVE_HDR_TO_12_BIT = True
    height, width, channels = levels.shape
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels] + (";16" if levels.dtype == np.uint16 else "")
    picture = pillow_heif.from_bytes(mode, (width, height), levels.tobytes())
    named = {"icc_profile": metadata.icc, "xmp": metadata.xmp}
    named["exif"] = None if metadata.exif is None else b"Exif\0\0" + metadata.exif
    for name, value in named.items():
        if value is not None:
            picture.info[name] = value
    file = io.BytesIO()
    lossless = {"quality": -1, "matrix_coefficients": 0} if quality == 100 else {"quality": quality}
    picture.save(file, chroma=444, **lossless)
    return file.getvalue()


def _jxl(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
    import pyjpegxl

    assert quality is not None
    # libjxl's JxlEncoderDistanceFromQuality
    distance = 0.1 + (100 - quality) * 0.09 if quality >= 30 else 53 / 3000 * quality**2 - 23 / 20 * quality + 25
    coding: dict[str, Any] = {"lossless": True} if quality == 100 else {"quality": min(distance, _JXL_FARTHEST)}
    data = pyjpegxl.encode_from_numpy(
        np.ascontiguousarray(levels), icc=metadata.icc, speed=pyjpegxl.EncoderSpeed.Hare, **coding
    )
    return with_jxl(bytes(data), metadata)


def _jp2(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
    import imagecodecs

    planes: NDArray[Any] = levels[:, :, 0] if levels.shape[2] == 1 else levels
    data = imagecodecs.jpeg2k_encode(planes, level=0, codecformat="jp2", reversible=True)
    return with_jp2(bytes(data), metadata, levels.shape[2])


def _pnm(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
    """PGM or PPM (Netpbm's own descriptions), with the maximum of their depth."""
    height, width, channels = levels.shape
    top = np.iinfo(levels.dtype).max
    return b"P%d\n%d %d\n%d\n" % (5 if channels == 1 else 6, width, height, top) + _big_endian(levels)


def _pam(levels: Levels, metadata: BoxMetadata, quality: int | None) -> bytes:
    height, width, channels = levels.shape
    kind = ("GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA")[channels - 1]
    fields = f"WIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {np.iinfo(levels.dtype).max}\nTUPLTYPE {kind}"
    return f"P7\n{fields}\nENDHDR\n".encode() + _big_endian(levels)


def _big_endian(levels: Levels) -> bytes:
    return levels.astype(levels.dtype.newbyteorder(">"), copy=False).tobytes()


_ENCODERS: dict[str, Callable[[Levels, BoxMetadata, int | None], bytes]] = {
    "bmp": _pillow("BMP"),
    "tga": _pillow("TGA"),
    "heic": _heic,
    "jxl": _jxl,
    "jp2": _jp2,
    "pnm": _pnm,
    "pam": _pam,
}
_SCENES: dict[str, Callable[[Picture], bytes]] = {"exr": exr_of, "hdr": hdr_of}
