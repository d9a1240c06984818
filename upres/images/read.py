"""Decode a file or bytes to a `Picture`. Formats not on our list are rejected before a decoder sees them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np

from upres.errors import InputError
from upres.images.adjust import Samples, adjusted, floats_of, upright_view
from upres.images.bands import count_bands, has_transparency, split_bands
from upres.images.exif import is_adobe_rgb, read_dpi
from upres.images.facts import Facts
from upres.images.icc import (
    Levels,
    color_space,
    is_srgb,
    is_usable_cmyk,
    matrix_profile,
    share_outside,
    to_srgb,
    unwrap,
    wrap,
)
from upres.images.isolation import isolatable
from upres.images.picture import Header, Picture
from upres.images.room import check_room, held_bytes
from upres.images.said_colors import adobe_rgb
from upres.images.sniff import NAMES
from upres.images.source import Source, identify, with_end_marker
from upres.images.vips import VipsError, attempt, load
from upres.images.whole import changed, check_claim, check_complete, damaged, doubtful, tail_note
from upres.images.xmp import without_claims

LOADERS = {form: f"{form}load" for form in NAMES} | {"avif": "heifload"}

T = TypeVar("T")
_TELL_OUTSIDE = 0.001  # fraction of clipped pixels from which the user is told
_KINDS = {
    "float": "32-bit floating point",
    "double": "64-bit floating point",
    "uint": "32-bit integers",
    "int": "32-bit integers",
    "char": "signed integers",
    "short": "signed integers",
}
_INTERPRETATIONS = frozenset({"b-w", "grey16", "srgb", "rgb16", "rgb", "cmyk", "multiband"})


@isolatable(Header)
def read_header(source: str | os.PathLike[str] | bytes | BinaryIO) -> Header:
    """Read size, channels, depth and format without decoding pixels; `source` and errors as in `read_picture`."""
    found = identify(source)
    return _header(_image_of(found), found)


@isolatable(bytes, type(None))
def read_xmp(source: str | os.PathLike[str] | bytes | BinaryIO) -> bytes | None:
    """The XMP of a picture, without decoding it; None where there is none. Raises as `read_header` does."""
    found = identify(source)
    return _blob(_image_of(found), "xmp-data")


@isolatable(Picture)
def read_picture(
    source: str | os.PathLike[str] | bytes | BinaryIO, *, max_pixels: int = 1_000_000_000, copies: float = 0.0
) -> Picture:
    """Decode a picture.

    Args:
        source: A path, the bytes of a file, or a file open in binary mode, which is read from its current position.
        max_pixels: Maximum height x width.
        copies: How many copies of its floats the caller will make, for which memory must be free too.

    Raises:
        InputError: The source is unreadable, not a supported picture, damaged, above `max_pixels`, or needs too much.
        ForkedError: The process was forked after its parent had decoded or encoded a picture.
    """
    opened = OpenPicture(source, max_pixels)
    check_room(opened.found.name, opened.header, copies)
    return opened.picture(_decode(opened), opened.notes)


class OpenPicture:
    """A picture file with its header and metadata read, and no pixel. Raises as `read_picture` does.

    Args:
        source: As for `read_picture`.
        max_pixels: Maximum height x width.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | BinaryIO, max_pixels: int) -> None:
        self.found = identify(source)
        name, form, facts = self.found.name, self.found.format, self.found.facts
        self.image = image = _image_of(self.found)
        self.header = header = _header(image, self.found)
        if header.height * header.width > max_pixels:
            raise InputError(
                f"{name} has {header.width:,} x {header.height:,} = {header.height * header.width:,} pixels, more than "
                f"the limit of {max_pixels:,}; make the picture smaller, or raise the limit (max_pixels)"
            )
        self.notes: list[str] = [*facts.notes, *tail_note(form, self.found.data)]
        frames = int(_field(image, "n-pages", 1))
        if frames > 1 and form != "avif":
            self.notes.append(f"only the first of {frames} {'pages' if form == 'tiff' else 'frames'} was read")
        self.exif = (_blob(image, "exif-data") or facts.exif or b"").removeprefix(b"Exif\0\0") or None
        self.xmp, lost = without_claims(_blob(image, "xmp-data") or b"")
        self.lost = [f"{what} was not kept" for what in lost]
        self.turn = int(_field(image, "orientation", 1))

    def picture(self, levels: Levels, notes: list[str]) -> Picture:
        """The picture of decoded `levels`, h w c: all of them, or some rows."""
        facts = self.found.facts
        levels, bands = split_bands(adjusted(levels, facts), facts.extra)
        notes += self.lost
        alpha = levels[:, :, -1:] if self.header.has_alpha else None
        colors = levels if alpha is None else levels[:, :, :-1]
        icc, colors = _colors(self.image, colors, _said_profile(self.image, facts, self.exif, notes), notes)
        dpi = (None if self.exif is None or self.found.format == "tiff" else read_dpi(self.exif)) or facts.dpi
        return Picture(
            pixels=floats_of(upright_view(colors, self.turn)),
            alpha=None if alpha is None else floats_of(upright_view(alpha, self.turn))[:, :, 0],
            depth=self.header.depth,
            icc=icc,
            exif=self.exif,
            xmp=self.xmp or None,
            dpi=(dpi[1], dpi[0]) if dpi is not None and self.turn >= 5 else dpi,
            texts=facts.texts,
            iptc=facts.iptc,
            tiff_tags=facts.tags,
            bands=None if bands is None else floats_of(upright_view(bands, self.turn)),
            jpeg=facts.jpeg,
            scene=facts.scene,
            format=self.found.format,
            notes=tuple(notes),
        )

    def expanded(self, levels: Levels) -> Levels:
        """Fill the low bits of 10- and 12-bit AVIF, which libvips shifts to 16, so that the maximum becomes 65,535."""
        bits = int(_field(self.image, "bits-per-sample", 16))
        if levels.dtype != np.uint16 or not 8 < bits < 16:
            return levels
        return np.bitwise_or(levels, np.right_shift(levels, np.uint16(bits)), dtype=np.uint16)


def _image_of(found: Source) -> Any:
    """A pyvips image with only its header read, or around what is decoded. Raises `InputError`."""
    if found.codes is not None:
        return wrap(found.codes)
    source, name, form = found.data, found.name, found.format
    try:
        image = attempt(lambda: load(source, LOADERS[form], "error"))
    except VipsError as error:
        raise damaged(name, form, error) from error
    if form == "avif" and _field(image, "heif-compression", "av1") != "av1":
        codec = image.get("heif-compression")
        raise InputError(f"{name} is a HEIF picture with codec {codec}, expected AVIF; convert it to PNG")
    return image


def _decode(opened: OpenPicture) -> Levels:
    """Decode to levels, h w c: strictly, or if that fails leniently, with a note.

    Truncated files fail both ways. Strict decoding fails on warnings: they are the only sign of altered bytes in a
    progressive JPEG, but harmless stray bytes raise one too and must not reject a photograph.
    """
    if opened.found.codes is not None:
        return cast(Levels, opened.found.codes)  # floats, which no step below changes
    image, source, name, form = opened.image, opened.found.data, opened.found.name, opened.found.format
    try:
        levels = attempt(lambda: unwrap(load(source, LOADERS[form], "warning")))
    except VipsError as doubt:
        try:
            levels = attempt(lambda: unwrap(load(source, LOADERS[form], "error")))
        except VipsError as error:

            def again() -> Levels:
                return attempt(lambda: unwrap(load(opened.found.data, LOADERS[form], "warning")))

            levels = with_end(opened, error, again)
        else:
            opened.notes.append(doubtful(doubt))
    if levels.shape != (image.height, image.width, image.bands):
        raise changed(name)
    return opened.expanded(levels)


def with_end(opened: OpenPicture, error: VipsError, decode: Callable[[], T]) -> T:
    """What `decode` returns once a JPEG has the end marker that it lacked, with a note. Raises `InputError`, with the
    `error` of before, where more than that is missing.
    """
    found = opened.found
    if found.format != "jpeg":
        raise damaged(found.name, found.format, error) from error
    opened.found = with_end_marker(found)
    try:
        result = decode()
    except VipsError:
        raise damaged(found.name, found.format, error) from error
    opened.notes.append("the file lacks its end marker, but the picture is complete")
    return result


def _header(image: Any, found: Source) -> Header:
    """The header, once the file is complete and can hold what it claims."""
    name, form = found.name, found.format
    depth = {"uchar": 8, "ushort": 16, "float": None if found.codes is None else 16}.get(image.format)
    extra = found.facts.extra if form == "tiff" else (0,) * bool(image.hasalpha())
    alpha = has_transparency(extra) if form == "tiff" else bool(extra)
    colors = image.bands - len(extra)
    if depth is None:
        kind = _KINDS.get(image.format, image.format)
        raise InputError(f"{name} stores samples as {kind}, expected 8- or 16-bit integers; convert it to 16 bits")
    if image.interpretation not in _INTERPRETATIONS or colors not in (1, 4 if image.interpretation == "cmyk" else 3):
        raise InputError(
            f"{name} has {image.bands} channels ({image.interpretation}), expected gray, RGB or CMYK, optionally with "
            "alpha; convert it to RGB"
        )
    height, width = image.height, image.width
    if int(_field(image, "orientation", 1)) >= 5:
        height, width = width, height
    gray, bands = colors == 1 or found.facts.gray, count_bands(found.facts.extra)
    upright = int(_field(image, "orientation", 1)) <= 1
    whole = alpha or bands or found.codes is not None
    by_rows = not whole and upright and _converts_by_rows(image, found.facts)
    jpeg = found.facts.jpeg
    held = held_bytes(image, form, subsampled=jpeg is not None and jpeg.subsampled)
    header = Header(height, width, 1 if gray else 3, alpha, depth, form, bands, by_rows, held)
    check_claim(name, header, found.data)
    check_complete(name, form, found.data)
    return header


def _converts_by_rows(image: Any, facts: Facts) -> bool:
    """Whether its colors can be converted by rows: tables clip, and the share that they clip is told first."""
    icc = _blob(image, "icc-profile-data") or facts.icc
    if image.interpretation == "cmyk":
        return image.format == "uchar"  # of 16 bits, the levels in use are known after the conversion only
    try:
        return icc is None or matrix_profile(icc) is not None
    except ValueError:  # unusable, and ignored
        return True


def _said_profile(image: Any, facts: Facts, exif: bytes | None, notes: list[str]) -> bytes | None:
    """The profile in the file, else that of the colors which the file says in another way."""
    icc = _blob(image, "icc-profile-data") or facts.icc
    if icc is None and exif is not None and image.bands >= 3 and is_adobe_rgb(exif):
        icc = adobe_rgb()
        notes.append("EXIF says that the colors are Adobe RGB; the result has that profile")
    elif icc is not None and icc is facts.icc:
        notes.append("the file says its colors without a profile; the result has them as a color profile")
    return icc


def _colors(image: Any, colors: Levels, icc: bytes | None, notes: list[str]) -> tuple[bytes | None, Samples]:
    """(profile to keep, colors h w 1 or sRGB h w 3); converted colors are 16-bit levels, or unclipped floats."""
    cmyk, count = image.interpretation == "cmyk", colors.shape[2]
    space = "CMYK" if cmyk else "gray" if count == 1 else "RGB"
    if icc is not None and color_space(icc) != space:
        notes.append(f"the color profile was ignored (expected {space}, got {color_space(icc)})")
        icc = None
    if cmyk:
        if icc is not None and not is_usable_cmyk(icc):
            notes.append("the color profile was ignored (damaged)")
            icc = None
        converted = to_srgb(colors, icc, cmyk=True)
        notes.append("CMYK was converted to sRGB")
        return None, converted
    if icc is not None and space == "RGB":
        try:
            if not is_srgb(icc):
                exact = matrix_profile(icc)
                if exact is not None:
                    return icc, exact.to_srgb(colors)
                outside = share_outside(colors, icc)
                if outside >= _TELL_OUTSIDE:
                    notes.append(f"{outside:.1%} of the pixels have colors outside sRGB, which were clipped")
                return icc, to_srgb(colors, icc)
        except ValueError as error:
            notes.append(f"the color profile was ignored ({error})")
            icc = None
    return icc, colors


def _field(image: Any, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default


def _blob(image: Any, name: str) -> bytes | None:
    value = _field(image, name, None)
    return bytes(value) if value else None
