"""Boxes of an AVIF: colors said without a profile, gray, number of frames; and an EXIF block of any size.

Source: ISO/IEC 14496-12 (boxes, `iloc`, `iinf`, `stsz`), 23008-12 (HEIF), AV1-ISOBMFF (`av1C`), 23091-2 (`nclx` codes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_FOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"iprp", b"ipco", b"meta"})
_MOST_BYTES = 64 << 20  # of the boxes before the pixels
_MONOCHROME = 0x10  # in the third byte of av1C


@dataclass(frozen=True, slots=True)
class AvifBoxes:
    """What the boxes say.

    Args:
        nclx: (primaries, transfer, matrix, full range) of the first `nclx`; None if there is none.
        has_profile: Whether an ICC profile is there, which counts before `nclx`.
        gray: Whether the picture itself is 4:0:0.
        frames: Of a sequence; 1 for a still.
    """

    nclx: tuple[int, int, int, bool] | None
    has_profile: bool
    gray: bool
    frames: int


def read_boxes(file: BinaryIO) -> AvifBoxes:
    """Read the boxes, skipping pixels. Whatever is damaged is left out: the decoder reports it."""
    file.seek(0, 2)
    end = file.tell()
    nclx, profile, frames = None, False, 1
    planes: list[bool] = []
    for path, body in _walk(file, 0, end, ()):
        name = path[-1]
        if name == b"colr" and path[0] == b"meta":
            if body[:4] == b"nclx" and len(body) >= 11 and nclx is None:
                primaries, transfer, matrix, full = struct.unpack_from(">HHHB", body, 4)
                nclx = (primaries, transfer, matrix, bool(full & 0x80))
            profile = profile or body[:4] in (b"prof", b"rICC")
        elif name == b"av1C" and path[0] == b"meta" and len(body) >= 3:
            planes.append(bool(body[2] & _MONOCHROME))
        elif name == b"stsz" and len(body) >= 12:
            frames = max(frames, struct.unpack_from(">I", body, 8)[0])
    # Alpha is a monochrome picture of its own, so one of several tells nothing, and all of them do.
    return AvifBoxes(nclx, profile, bool(planes) and all(planes), frames)


def with_exif(avif: bytes, exif: bytes) -> bytes:
    """An encoded AVIF whose EXIF item, which must be there, is replaced by this block, appended to the file.

    Raises `ValueError` for a file without the item.
    """
    body = bytearray(avif)
    meta = next((at, size) for name, at, size in _boxes(avif, 0, len(avif)) if name == b"meta")
    inside = {name: (at, size) for name, at, size in _boxes(avif, meta[0] + 4, meta[0] + meta[1])}
    item = _exif_item(avif, *inside[b"iinf"])
    place, base = _extent(avif, inside[b"iloc"][0], item)
    payload = struct.pack(">I", 0) + exif  # offset of the TIFF structure after this field
    struct.pack_into(">II", body, place, len(body) + 8 - base, len(payload))
    return bytes(body) + struct.pack(">I4s", len(payload) + 8, b"mdat") + payload


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset of the content, its size)."""
    while at + 8 <= end:
        box = box_head(data[at : at + 16], end - at)
        if box is None:
            return
        name, head, size = box
        yield name, at + head, size - head
        at += size


def box_head(head: bytes, room: int) -> tuple[bytes, int, int] | None:
    """(name, bytes of the header, bytes in all) of the box that begins with `head`; None if that is no box.

    head: 16 bytes, or what is left. room: To the end of what holds the box, which a size of 0 stands for.
    """
    if len(head) < 8:
        return None
    size, name = struct.unpack_from(">I4s", head)
    skip = 8
    if size == 1 and len(head) == 16:
        (size,) = struct.unpack_from(">Q", head, 8)
        skip = 16
    elif size == 0:
        size = room
    return None if size < skip else (name, skip, size)


def _walk(file: BinaryIO, at: int, end: int, path: tuple[bytes, ...]) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """The boxes that hold no others, inside the folders that are of interest."""
    while at + 8 <= end and len(path) < 8:
        file.seek(at)
        head = file.read(16)
        box = box_head(head, end - at)
        if box is None:
            return
        name, skip, size = box
        if name in _FOLDERS:
            inner = at + skip + (4 if name == b"meta" else 0)  # `meta` has version and flags
            yield from _walk(file, inner, min(at + size, end), (*path, name))
        elif path and size <= _MOST_BYTES:
            file.seek(at + skip)
            yield (*path, name), file.read(size - skip)
        at += size


def _exif_item(data: bytes, at: int, size: int) -> int:
    """The number of the item of type Exif in `iinf`."""
    count_bytes = 2 if data[at] == 0 else 4
    for name, entry, _ in _boxes(data, at + 4 + count_bytes, at + size):
        if name == b"infe" and data[entry] >= 2:
            wide = data[entry] == 3
            number = int.from_bytes(data[entry + 4 : entry + (8 if wide else 6)], "big")
            kind = entry + (10 if wide else 8)
            if data[kind : kind + 4] == b"Exif":
                return number
    raise ValueError("the file has no EXIF item")


def _extent(data: bytes, at: int, item: int) -> tuple[int, int]:
    """Where offset and length of the only extent of an item stand in `iloc`, and the base of the offset."""
    version = data[at]
    offset_bytes, length_bytes = divmod(data[at + 4], 16)
    base_bytes, index_bytes = divmod(data[at + 5], 16)
    index_bytes = index_bytes if version else 0
    wide = 4 if version == 2 else 2
    count = int.from_bytes(data[at + 6 : at + 6 + wide], "big")
    place = at + 6 + wide
    for _ in range(count):
        number = int.from_bytes(data[place : place + wide], "big")
        place += wide + (2 if version else 0) + 2
        base = int.from_bytes(data[place : place + base_bytes], "big")
        extents = int.from_bytes(data[place + base_bytes : place + base_bytes + 2], "big")
        place += base_bytes + 2
        if number == item and (offset_bytes, length_bytes, extents) == (4, 4, 1):
            return place + index_bytes, base
        place += extents * (index_bytes + offset_bytes + length_bytes)
    raise ValueError("the EXIF item has no location of the expected layout")
