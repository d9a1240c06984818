"""EXIF carried as bytes: only what became untrue is changed, so maker notes and tags of any make stay as they are.

Source: CIPA DC-008 (EXIF 3.0); the block is a TIFF structure.
"""

from __future__ import annotations

import io
import struct

from upres.images.ifd import RATIONAL, SHORT, Directory, append_directory, entry, ratio, read_directory, with_entries

_WIDTH, _HEIGHT, _ORIENTATION, _XRES, _YRES, _UNIT = 256, 257, 274, 282, 283, 296
_EXIF, _INTEROP, _COLOR_SPACE, _PIXELS_X, _PIXELS_Y = 34665, 40965, 40961, 40962, 40963
_THUMBNAIL, _THUMBNAIL_BYTES = 513, 514
_UNCALIBRATED, _ADOBE_RGB = 0xFFFF, 2  # values of ColorSpace; the second is no part of the standard, but written
_INCH, _CENTIMETER = 2, 3
_CM_PER_INCH = 2.54


def read_dpi(exif: bytes) -> tuple[float, float] | None:
    """(h, w) dots per inch, or None if the block does not say both resolutions and their unit."""
    first = _directory(exif)
    if first is None or _UNIT not in first.entries:
        return None
    factor = {_INCH: 1.0, _CENTIMETER: _CM_PER_INCH}.get(first.number(_UNIT), 0.0)
    found = [(first.numbers(tag) or (0.0,))[0] * factor for tag in (_YRES, _XRES)]
    return (round(found[0], 3), round(found[1], 3)) if all(0.0 < value < 1e6 for value in found) else None


def is_adobe_rgb(exif: bytes) -> bool:
    """Whether the block says that the colors are Adobe RGB (DCF 2.0: uncalibrated, with interoperability index R03)."""
    first = _directory(exif)
    inner = None if first is None else _directory(exif, first.number(_EXIF))
    if inner is None:
        return False
    space = inner.number(_COLOR_SPACE)
    interop = _directory(exif, inner.number(_INTEROP))
    return space == _ADOBE_RGB or (space == _UNCALIBRATED and interop is not None and interop.text(1) == "R03")


def made_true(exif: bytes, height: int, width: int, dpi: tuple[float, float] | None) -> bytes:
    """The block for an upright picture of this size and resolution, without the thumbnail of the source.

    A damaged block is returned as it is.
    """
    body = bytearray(exif)
    first = _directory(exif)
    if first is None:
        return exif
    for inside in (first, _directory(exif, first.number(_EXIF)) if _EXIF in first.entries else None):
        for tag, value in ((_WIDTH, width), (_HEIGHT, height), (_PIXELS_X, width), (_PIXELS_Y, height)):
            if inside is not None and tag in inside.entries:
                struct.pack_into(inside.order + "HHII", body, inside.entries[tag].at, tag, 4, 1, value)
    if _ORIENTATION in first.entries:
        order = first.order
        struct.pack_into(order + "HHI", body, first.entries[_ORIENTATION].at, _ORIENTATION, SHORT, 1)
        struct.pack_into(order + "HH", body, first.entries[_ORIENTATION].at + 8, 1, 0)
    if first.next:
        _remove_thumbnail(body, exif, first)
    if dpi is None or read_dpi(exif) == dpi:
        return bytes(body)
    fields = {_XRES: entry(RATIONAL, (dpi[1],)), _YRES: entry(RATIONAL, (dpi[0],)), _UNIT: entry(SHORT, (_INCH,))}
    if fields.keys() <= first.entries.keys() and all(first.entries[tag].kind == RATIONAL for tag in (_XRES, _YRES)):
        for tag, value in ((_XRES, dpi[1]), (_YRES, dpi[0])):
            struct.pack_into(first.order + "II", body, first.entries[tag].data_at, *ratio(value))
        struct.pack_into(first.order + "H", body, first.entries[_UNIT].data_at, _INCH)
        return bytes(body)
    return with_entries(body, fields)


def of_resolution(dpi: tuple[float, float]) -> bytes:
    """A block that says nothing but the resolution, (h, w): the only place for it in WebP and AVIF."""
    fields = {_XRES: entry(RATIONAL, (dpi[1],)), _YRES: entry(RATIONAL, (dpi[0],)), _UNIT: entry(SHORT, (_INCH,))}
    body = bytearray(b"II*\0" + bytes(4))
    body[4:8] = append_directory(body, fields, "<").to_bytes(4, "little")
    return bytes(body)


def _directory(exif: bytes, offset: int | None = None) -> Directory | None:
    try:
        return None if offset == 0 else read_directory(io.BytesIO(exif), offset)
    except ValueError:
        return None


def _remove_thumbnail(body: bytearray, exif: bytes, first: Directory) -> None:
    """Unlink the second directory, and erase the picture that it points to."""
    body[first.link_at : first.link_at + 4] = bytes(4)
    second = _directory(exif, first.next)
    if second is None:
        return
    start, length = second.number(_THUMBNAIL), second.number(_THUMBNAIL_BYTES)
    end = min(start + length, len(body))
    if not 8 <= start < end:
        return
    if any(body[end:]):
        body[start:end] = bytes(end - start)
    else:
        del body[start:]
