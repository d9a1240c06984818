"""Metadata in the boxes of JPEG 2000 and JPEG XL: EXIF, XMP, profile, resolution, and which channel is alpha.

Source: ISO/IEC 15444-1, annex I (JP2: `jp2h`, `colr`, `cdef`, `res `, `uuid`); Adobe's XMP specification, part 3, and
the draft of the JPEG committee that ExifTool and Exiv2 follow for the UUID of EXIF; ISO/IEC 18181-2 (`Exif`, `xml `,
`brob`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from upres.images.avif_boxes import box_head

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_JXL_BEGINS = b"\0\0\0\x0cJXL \r\n\x87\n"
_CM_PER_INCH = 2.54
_TENTHS = 10
_ENUMERATED, _ANY_PROFILE = 1, 2  # methods of `colr`
_SRGB, _GRAY = 16, 17  # enumerated colors of `colr`
_OPACITY = 1  # type of a channel in `cdef`


@dataclass(frozen=True, slots=True)
class BoxMetadata:
    """What boxes say beside pixels; None for what is not there.

    Args:
        icc: The profile of the colors.
        exif: A TIFF structure.
        xmp: An XMP packet.
        dpi: Dots per inch, (h, w).
        is_srgb: Whether the file says that its colors are sRGB, or gray with sRGB's curve.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    is_srgb: bool = False


def read_jp2(data: bytes) -> BoxMetadata:
    """Of a JP2; nothing for a bare codestream. Damaged boxes are left out."""
    found: dict[str, bytes] = {}
    dpi, srgb = None, False
    for name, body in _boxes(data):
        if name == b"uuid" and body[:16] in (_XMP, _EXIF):
            found["xmp" if body[:16] == _XMP else "exif"] = body[16:]
        elif name == b"jp2h":
            for inner, content in _boxes(body):
                if inner == b"colr" and content[:1] == bytes((_ANY_PROFILE,)):
                    found["icc"] = content[3:]
                elif inner == b"colr" and content[:1] == bytes((_ENUMERATED,)):
                    srgb = int.from_bytes(content[3:7], "big") in (_SRGB, _GRAY)
                elif inner == b"res ":
                    dpi = _resolution(content) or dpi
    return BoxMetadata(found.get("icc"), _tiff(found.get("exif")), found.get("xmp") or None, dpi, srgb)


def without_profile(jp2: bytes) -> bytes:
    """A JP2 that says sRGB, or gray, in place of its profile: a decoder would convert by it, and clip."""
    parts: list[bytes] = []
    for name, body in _boxes(jp2):
        if name == b"jp2h":
            inner = [(kind, _plain_color(content) if kind == b"colr" else content) for kind, content in _boxes(body)]
            body = b"".join(_box(kind, content) for kind, content in inner)
        parts.append(_box(name, body))
    return b"".join(parts) or jp2


def _plain_color(content: bytes) -> bytes:
    if content[:1] != bytes((_ANY_PROFILE,)):
        return content
    return bytes((_ENUMERATED, 0, 0)) + struct.pack(">I", _GRAY if content[19:23] == b"GRAY" else _SRGB)


def with_jp2(jp2: bytes, metadata: BoxMetadata, channels: int) -> bytes:
    """An encoded JP2 with metadata; of 2 or 4 channels the last is declared as alpha."""
    parts: list[bytes] = []
    for name, body in _boxes(jp2):
        if name == b"jp2h":
            body = b"".join(_header_boxes(body, metadata, channels))
        if name == b"jp2c":
            if metadata.exif is not None:
                parts.append(_box(b"uuid", _EXIF + metadata.exif))
            if metadata.xmp is not None:
                parts.append(_box(b"uuid", _XMP + metadata.xmp))
        parts.append(_box(name, body))
    return b"".join(parts)


def _header_boxes(body: bytes, metadata: BoxMetadata, channels: int) -> Iterator[bytes]:
    colors = channels - (channels in (2, 4))
    for name, content in _boxes(body):
        if name == b"colr" and metadata.icc is not None:
            content = bytes((_ANY_PROFILE, 0, 0)) + metadata.icc
        elif name == b"colr":
            content = bytes((_ENUMERATED, 0, 0)) + struct.pack(">I", _GRAY if colors == 1 else _SRGB)
        yield _box(name, content)
    if channels != colors:
        rows = [struct.pack(">HHH", place, 0, place + 1) for place in range(colors)]
        rows.append(struct.pack(">HHH", colors, _OPACITY, 0))
        yield _box(b"cdef", struct.pack(">H", channels) + b"".join(rows))
    if metadata.dpi is not None:
        down, across = (min(65535, max(1, round(value * _TENTHS))) for value in metadata.dpi)
        # Tenths of a dot per inch over 254 tenths of a millimeter, times 1000 mm: dots a meter.
        resolution = struct.pack(">HHHHbb", down, 254, across, 254, 3, 3)
        yield _box(b"res ", _box(b"resc", resolution))


def read_jxl(data: bytes) -> BoxMetadata:
    """Of a JPEG XL in a container; nothing for a bare codestream. Its profile is in the codestream."""
    found: dict[bytes, bytes] = {}
    if data.startswith(_JXL_BEGINS):
        for name, body in _boxes(data):
            if name == b"brob" and body[:4] in (b"Exif", b"xml "):
                import imagecodecs  # of the same extra as the decoder

                name, body = body[:4], bytes(imagecodecs.brotli_decode(body[4:]))
            if name in (b"Exif", b"xml "):
                found[name] = body
    block = found.get(b"Exif", b"")
    skip = 4 + int.from_bytes(block[:4], "big")  # to the TIFF structure
    return BoxMetadata(None, _tiff(block[skip:]), found.get(b"xml ") or None)


def with_jxl(jxl: bytes, metadata: BoxMetadata) -> bytes:
    """An encoded JPEG XL with its EXIF and XMP, which stand in a container."""
    if metadata.exif is None and metadata.xmp is None:
        return jxl
    if not jxl.startswith(_JXL_BEGINS):
        jxl = _JXL_BEGINS + _box(b"ftyp", b"jxl \0\0\0\0jxl ") + _box(b"jxlc", jxl)
    parts = [_box(name, body) for name, body in _boxes(jxl)]
    if metadata.exif is not None:
        parts.append(_box(b"Exif", bytes(4) + metadata.exif))
    if metadata.xmp is not None:
        parts.append(_box(b"xml ", metadata.xmp))
    return b"".join(parts)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, content)."""
    at = 0
    while at + 8 <= len(data):
        box = box_head(data[at : at + 16], len(data) - at)
        if box is None:
            return
        name, head, size = box
        yield name, data[at + head : at + size]
        at += size


def _box(name: bytes, body: bytes) -> bytes:
    if len(body) + 8 < 1 << 32:
        return struct.pack(">I4s", len(body) + 8, name) + body
    return struct.pack(">I4sQ", 1, name, len(body) + 16) + body


def _resolution(content: bytes) -> tuple[float, float] | None:
    """Of capture (`resc`), else of display, in dots per inch: pixels a meter as fractions with powers of ten."""
    found = {name: body for name, body in _boxes(content) if len(body) >= 10}
    body = found.get(b"resc") or found.get(b"resd")
    if body is None:
        return None
    down, down_by, across, across_by, down_power, across_power = struct.unpack_from(">HHHHbb", body)
    if not (down and down_by and across and across_by):
        return None
    per_inch = _CM_PER_INCH / 100
    return (
        round(down / down_by * 10.0**down_power * per_inch, 3),
        round(across / across_by * 10.0**across_power * per_inch, 3),
    )


def _tiff(block: bytes | None) -> bytes | None:
    """An EXIF block as a TIFF structure; None if it is none."""
    block = (block or b"").removeprefix(b"Exif\0\0")
    return block if block[:4] in (b"II*\0", b"MM\0*") else None
