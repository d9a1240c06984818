"""Pictures that libvips does not read here: decoded by other packages, and handed on as PNG with their metadata.

Each package is an extra, loaded at first use: Pillow for BMP, TGA and flat PSD, pillow-heif for HEIC, pyjpegxl for JPEG
XL, imagecodecs for JPEG 2000 and Radiance HDR, OpenEXR for its own format, rawpy for camera raw. PNM is read here.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError
from upres.images import exif as exif_block
from upres.images.icc import color_space, is_srgb
from upres.images.iso_boxes import read_jp2, read_jxl, without_profile
from upres.images.picture import Header
from upres.images.pnm import read_pnm
from upres.images.room import check_room
from upres.images.said_colors import profile_of_codes
from upres.images.scene import DecodedScene, read_exr, read_hdr
from upres.images.write import png_of
from upres.system.packages import has_module, install_command
from upres.system.text import first_line

_PSD_ICC, _PSD_EXIF, _PSD_XMP = 1039, 1058, 1060  # resources of a Photoshop document
_MOST_PIXELS = 1_000_000_000
_JXL_GRAYS = ("Gra_D65_Rel_SRG", "Gra_D65_Per_SRG")  # libjxl's names of a gray profile with sRGB's curve
_DEFAULT_DPI = (72, 96)  # of BMP, in which every file has a resolution
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a package decoded.

    Args:
        levels: h w c, c 1 to 4, alpha last; uint8 or uint16 on their full range; upright.
        icc: The profile of the colors; None for sRGB, or gray.
        exif: A TIFF structure.
        xmp: An XMP packet.
        dpi: Dots per inch, (h, w), beside EXIF.
        notes: For the user.
    """

    levels: NDArray[Any]
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


def as_png(name: str, data: Path | bytes, kind: str) -> tuple[bytes, tuple[str, ...]]:
    """A picture of another kind as a PNG, without loss, and notes for the user.

    name: For messages.
    kind: A value of `sniff.FOREIGN` that is no kind of `SCENES`.

    Raises `InputError` for a damaged picture, and for a missing package, with the command that installs it.
    """
    words, module, extra, decode = _KINDS[kind]
    found = _decoded(name, data, words, module, extra, decode)
    height, width = found.levels.shape[:2]
    block = None if found.exif is None else exif_block.made_true(found.exif, height, width, found.dpi)
    if block is None and found.dpi is not None:
        block = exif_block.of_resolution(found.dpi)
    return png_of(found.levels, found.icc, block, found.xmp), found.notes


def as_scene(name: str, data: Path | bytes, kind: str) -> DecodedScene:
    """A picture of a kind of `SCENES`, decoded. Raises as `as_png` does."""
    words, module, decode = SCENES[kind]
    found = _decoded(name, data, words, module, "formats", lambda _, content: decode(content))
    height, width, channels = found.codes.shape
    _check(name, height, width, channels, 32)
    return found


def _decoded(
    name: str, data: Path | bytes, words: str, module: str, extra: str, decode: Callable[[str, bytes], T]
) -> T:
    if module and not has_module(module):
        raise InputError(f"{name} seems to be {words}, which needs another package: {install_command(extra)}")
    try:
        return decode(name, data if isinstance(data, bytes) else data.read_bytes())
    except (InputError, MemoryError):
        raise
    except Exception as error:  # each package has errors of its own kinds, and those of struct and numpy
        why = first_line(str(error)) or type(error).__name__
        raise InputError(f"{name} is {words} that is damaged, or of a kind that is not read ({why})") from error


def _check(name: str, height: int, width: int, channels: int, depth: int) -> None:
    if height * width > _MOST_PIXELS:
        raise InputError(f"{name} has {width:,} x {height:,} pixels, more than {_MOST_PIXELS:,}; make it smaller")
    check_room(name, Header(height, width, channels, False, depth, "png"))


def _pillow(name: str, data: bytes) -> Decoded:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # `_check` weighs the memory instead
    with Image.open(io.BytesIO(data), formats=("BMP", "DIB", "TGA", "PSD")) as image:
        _check(name, image.height, image.width, 4, 8)
        resources: dict[int, bytes] = {key: content for key, _, content in getattr(image, "resources", ())}
        if image.mode in ("P", "PA"):
            image = image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            raise InputError(f"{name} stores its colors as {image.mode}, expected gray or RGB; convert it to RGB")
        levels = np.asarray(image)
        dpi = _dpi_of(image.info.get("dpi"))
    notes = ("the flat picture of the document was read, not its layers",) if _PSD_ICC in resources else ()
    exif = resources.get(_PSD_EXIF)
    return Decoded(_channels(levels), resources.get(_PSD_ICC), exif, resources.get(_PSD_XMP), dpi, notes)


def _pnm(name: str, data: bytes) -> Decoded:
    return Decoded(read_pnm(data, lambda height, width, count: _check(name, height, width, count, 16)))


def _heic(name: str, data: bytes) -> Decoded:
    import pillow_heif

    file: Any = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    _check(name, file.size[1], file.size[0], 4, 16)
    levels, info = np.array(file), file.info  # a copy: before pillow-heif 1.8 the memory is that of `file`
    bits = int(info.get("bit_depth", 8))
    if levels.dtype == np.uint16 and 8 < bits < 16:  # they are shifted up; the maximum becomes 65,535
        levels = levels | (levels >> bits)
    icc, said = info.get("icc_profile"), info.get("nclx_profile")
    notes = [f"only the first of {len(file)} pictures in the file was read"] if len(file) > 1 else []
    if not icc and said:
        try:
            icc = profile_of_codes(int(said["color_primaries"]), int(said["transfer_characteristics"]))
        except ValueError as error:
            raise InputError(f"{name} {error}") from error
    if info.get("depth_images") or info.get("aux"):
        notes.append("depth and gain maps were not kept")
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    return Decoded(_channels(levels), icc or None, exif, info.get("xmp") or None, notes=tuple(notes))


def _jp2(name: str, data: bytes) -> Decoded:
    import imagecodecs

    said = read_jp2(data)
    levels: Any = imagecodecs.jpeg2k_decode(data if said.icc is None else without_profile(data))
    if levels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} stores samples as {levels.dtype}, expected 8- or 16-bit integers")
    notes = () if said.icc or said.is_srgb else ("colors were taken as sRGB",)
    return Decoded(_channels(levels), said.icc, said.exif, said.xmp, said.dpi, notes)


def _jxl(name: str, data: bytes) -> Decoded:
    import pyjpegxl

    head = pyjpegxl.probe(data)
    _check(name, head.height, head.width, 4, 16)
    if head.bits_per_sample > 16:
        raise InputError(f"{name} stores samples of {head.bits_per_sample} bits, expected at most 16; save it as EXR")
    found, levels = pyjpegxl.decode_to_numpy(data, dtype="uint8" if head.bits_per_sample <= 8 else "uint16")
    said, icc = read_jxl(data), found.icc_profile or None
    gray = color_space(icc or b"") == "gray"
    if icc is not None and ((not gray and is_srgb(icc)) or any(name.encode("utf-16-be") in icc for name in _JXL_GRAYS)):
        icc = None  # libjxl made it of the words of a file without a profile
    return Decoded(_channels(levels), icc, said.exif, said.xmp)


def _raw(name: str, data: bytes) -> Decoded:
    import rawpy

    with rawpy.imread(io.BytesIO(data)) as raw:
        _check(name, raw.sizes.height, raw.sizes.width, 3, 16)
        levels = raw.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16)
    return Decoded(levels, notes=("developed as dcraw does: the camera's white balance, no brightening, sRGB",))


def _dpi_of(said: Any) -> tuple[float, float] | None:
    """(h, w) of Pillow's (w, h); None where a file says none, as by zeros or by what encoders write by themselves."""
    if not said or min(said) <= 1 or all(round(value) in _DEFAULT_DPI for value in said):
        return None
    return round(float(said[1]), 3), round(float(said[0]), 3)


def _channels(levels: NDArray[Any]) -> NDArray[Any]:
    """h w or h w c as h w c."""
    return np.ascontiguousarray(levels[:, :, None] if levels.ndim == 2 else levels)


# The words for a kind, the package that decodes it, which the extra "formats" installs, and the decoder.
SCENES: dict[str, tuple[str, str, Callable[[bytes], DecodedScene]]] = {
    "exr": ("an OpenEXR picture", "OpenEXR", read_exr),
    "hdr": ("a Radiance HDR picture", "imagecodecs", read_hdr),
}
# The words for a kind, the package that decodes it ("" if none is needed), its extra, and the decoder.
_KINDS: dict[str, tuple[str, str, str, Callable[[str, bytes], Decoded]]] = {
    "bmp": ("a BMP picture", "PIL", "formats", _pillow),
    "tga": ("a TGA picture", "PIL", "formats", _pillow),
    "psd": ("a Photoshop document", "PIL", "formats", _pillow),
    "pnm": ("a PNM picture", "", "", _pnm),
    "heic": ("an HEIC picture", "pillow_heif", "heic", _heic),
    "jxl": ("a JPEG XL picture", "pyjpegxl", "formats", _jxl),
    "jp2": ("a JPEG 2000 picture", "imagecodecs", "formats", _jp2),
    "raw": ("a camera raw file", "rawpy", "raw", _raw),
}
