"""Segments of a JPEG that libvips does not read or write faithfully: comments, IPTC, EXIF, further pictures.

Source: ITU-T T.81, annex B; JFIF 1.02; CIPA DC-007 (MPO); Adobe's XMP specification, part 3.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from upres.images.ifd import read_directory
from upres.images.png_chunks import iptc_of, photoshop_resource

_PHOTOSHOP = b"Photoshop 3.0\0"
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_SOS, _COM, _APP0, _APP1, _APP2, _APP13 = 0xDA, 0xFE, 0xE0, 0xE1, 0xE2, 0xED
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, less DHT, JPG and DAC
_MOST_BYTES = 65_533  # of a segment
_PICTURES = 0xB001  # tag of an MPO's index: number of pictures


@dataclass(frozen=True, slots=True)
class JpegSegments:
    """What the segments before the pixels say.

    Args:
        comments: In their order.
        iptc: IPTC records.
        dpi: Dots per inch of the JFIF header, (h, w).
        pictures: Number of pictures in the file (MPO), 1 without an index.
        extended_xmp: Whether a second part of XMP is there.
        sampling: (horizontal, vertical) sampling factors of the components; empty if not found.
    """

    comments: tuple[str, ...] = ()
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    pictures: int = 1
    extended_xmp: bool = False
    sampling: tuple[tuple[int, int], ...] = ()


def read_segments(file: BinaryIO) -> JpegSegments:
    """Read the segments up to the pixels. Whatever is damaged is left out: the decoder reports it."""
    comments: list[str] = []
    resources, dpi, pictures, extended = b"", None, 1, False
    sampling: tuple[tuple[int, int], ...] = ()
    for marker, body in segments(file):
        if marker == _COM:
            comments.append(_text(body))
        elif marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, across, down = struct.unpack_from(">BHH", body, 7)
            factor = {1: 1.0, 2: 2.54}.get(unit, 0.0)
            if factor and across and down:
                dpi = (round(down * factor, 3), round(across * factor, 3))
        elif marker == _APP1 and body.startswith(_EXTENDED_XMP):
            extended = True
        elif marker == _APP2 and body.startswith(b"MPF\0"):
            pictures = max(pictures, _pictures(body[4:]))
        elif marker == _APP13 and body.startswith(_PHOTOSHOP):
            resources += body[len(_PHOTOSHOP) :]
        elif marker in FRAMES and len(body) >= 6:
            sampling = tuple(divmod(body[7 + 3 * i], 16) for i in range(body[5]) if 7 + 3 * i < len(body))
    return JpegSegments(tuple(text for text in comments if text), iptc_of(resources), dpi, pictures, extended, sampling)


def with_segments(
    jpeg: bytes,
    exif: bytes | None,
    iptc: bytes | None,
    dpi: tuple[float, float] | None,
    comments: tuple[str, ...],
) -> bytes:
    """An encoded JPEG with these segments before those that it has.

    A JFIF header holds the resolution, `dpi` (h, w), where EXIF does not. An EXIF block that does not fit (`fits`) is
    left out; IPTC and comments are split.
    """
    front: list[bytes] = []
    at = 2
    if jpeg[2:4] == bytes((0xFF, _APP0)):
        at += 2 + int.from_bytes(jpeg[4:6], "big")
    if exif is not None and fits(exif):
        front.append(segment(_APP1, b"Exif\0\0" + exif))
    else:
        height, width = (1, 1) if dpi is None else (min(65_535, max(1, round(value))) for value in dpi)
        front.append(segment(_APP0, b"JFIF\0\1\2" + struct.pack(">BHHBB", dpi is not None, width, height, 0, 0)))
    if iptc is not None:
        whole = photoshop_resource(iptc)
        room = _MOST_BYTES - len(_PHOTOSHOP)
        front += [segment(_APP13, _PHOTOSHOP + whole[start : start + room]) for start in range(0, len(whole), room)]
    for comment in comments:
        raw = comment.encode()
        front += [segment(_COM, raw[start : start + _MOST_BYTES]) for start in range(0, len(raw), _MOST_BYTES)]
    return b"".join((jpeg[:2], *front, memoryview(jpeg)[at:]))


def fits(exif: bytes) -> bool:
    """Whether an EXIF block fits into its segment."""
    return len(exif) <= _MOST_BYTES - 6


def segment(marker: int, body: bytes) -> bytes:
    """A segment with its length."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the first scan, up to the first that is cut off."""
    file.seek(2)
    while True:
        byte = file.read(1)
        while byte and byte != b"\xff":  # stray bytes between segments, as decoders skip them
            byte = file.read(1)
        while byte == b"\xff":
            byte = file.read(1)
        if not byte or byte[0] == _SOS or byte[0] == 0xD9:
            return
        if byte[0] in _ALONE or byte[0] == 0:
            continue
        length = int.from_bytes(file.read(2), "big")
        body = file.read(max(0, length - 2))
        if len(body) != length - 2:
            return
        yield byte[0], body


def _pictures(index: bytes) -> int:
    try:
        return read_directory(io.BytesIO(index)).number(_PICTURES, 1)
    except ValueError:
        return 1


def _text(body: bytes) -> str:
    raw = body.rstrip(b"\0")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
