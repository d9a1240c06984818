"""Chunks of a PNG that libvips does not read or write: text, resolution, colors said without a profile, EXIF.

Source: PNG, third edition (W3C 2025); `Raw profile type ...` is the convention of ImageMagick and exiftool.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WANTED = frozenset({b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"acTL", b"eXIf"})
_MOST_BYTES = 64 << 20  # of a text, also when decompressed
_XMP = "XML:com.adobe.xmp"
_RAW = "Raw profile type "
_INCHES_PER_METER = 1 / 0.0254

Texts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PngChunks:
    """What the chunks of a PNG say.

    Args:
        texts: (keyword, text), without XMP and raw profiles.
        raw: Raw profiles by name: "iptc", "exif", ...
        dpi: Dots per inch, (h, w).
        by_name: Other chunks that were looked for, by name.
        frames: Of an animation; 1 for a still.
        late_exif: EXIF stands behind the pixels, where libvips does not look for it.
    """

    texts: Texts
    raw: dict[str, bytes]
    dpi: tuple[float, float] | None
    by_name: dict[bytes, bytes]
    frames: int
    late_exif: bool


def read_chunks(file: BinaryIO) -> PngChunks:
    """Read the chunks, skipping pixels. Whatever is damaged is left out: the decoder reports it."""
    file.seek(len(_SIGNATURE))
    texts: list[tuple[str, str]] = []
    raw: dict[str, bytes] = {}
    by_name: dict[bytes, bytes] = {}
    pixels = late_exif = False
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            break
        pixels |= name == b"IDAT"
        late_exif |= pixels and name == b"eXIf" and name not in by_name
        if name not in _WANTED or length > _MOST_BYTES:
            file.seek(length + 4, 1)
            continue
        body = file.read(length)
        file.seek(4, 1)
        if name not in (b"tEXt", b"zTXt", b"iTXt"):
            by_name.setdefault(name, body)
            continue
        pair = _text(name, body)
        if pair is not None and pair[0].startswith(_RAW):
            profile = _unhex(pair[1])
            if profile is not None:
                raw[pair[0].removeprefix(_RAW).lower()] = profile
        elif pair is not None and pair[0] != _XMP:
            texts.append(pair)
    frames = struct.unpack_from(">I", by_name[b"acTL"])[0] if len(by_name.get(b"acTL", b"")) >= 8 else 1
    return PngChunks(tuple(texts), raw, _dpi(by_name.get(b"pHYs", b"")), by_name, frames, late_exif)


def text_chunks(texts: Texts) -> list[bytes]:
    """Chunks for (keyword, text): tEXt for Latin-1, iTXt for the rest; compressed from 2 KB."""
    chunks: list[bytes] = []
    for keyword, text in texts:
        key = keyword.encode("latin-1", "replace")[:79]
        try:
            plain = text.encode("latin-1")
        except UnicodeEncodeError:
            plain = None
        if plain is None or b"\0" in plain:
            wide = text.encode("utf-8", "surrogateescape")
            packed = len(wide) >= 2048
            chunks.append(chunk(b"iTXt", key + bytes((0, packed, 0, 0, 0)) + (zlib.compress(wide) if packed else wide)))
        elif len(plain) >= 2048 and keyword not in ("parameters", "workflow", "prompt"):
            chunks.append(chunk(b"zTXt", key + b"\0\0" + zlib.compress(plain)))
        else:  # readers of generation parameters expect them plain
            chunks.append(chunk(b"tEXt", key + b"\0" + plain))
    return chunks


def iptc_chunk(records: bytes) -> bytes:
    """IPTC records as a raw profile: in a Photoshop resource, in hexadecimal digits, compressed."""
    resource = photoshop_resource(records)
    digits = resource.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return chunk(
        b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(f"\niptc\n{len(resource):8}\n{lines}\n".encode())
    )


def photoshop_resource(records: bytes) -> bytes:
    """IPTC records as the image resource 0x0404 of Photoshop."""
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records + bytes(len(records) % 2)


def iptc_of(resources: bytes) -> bytes | None:
    """The IPTC records in a run of Photoshop's image resources; None if there are none."""
    at = 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        kind = int.from_bytes(resources[at + 4 : at + 6], "big")
        at += 6 + (resources[at + 6] + 2) // 2 * 2  # a name of even length, with its count
        size = int.from_bytes(resources[at : at + 4], "big")
        if kind == 0x0404:
            return resources[at + 4 : at + 4 + size] or None
        at += 4 + (size + 1) // 2 * 2
    return resources if resources[:1] == b"\x1c" else None


def chunk(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(png: bytes, added: Iterable[bytes], removed: Iterable[bytes] = ()) -> bytes:
    """An encoded PNG with chunks `added` before the pixels, and those named in `removed` gone."""
    gone, at, parts = frozenset(removed), len(_SIGNATURE), [_SIGNATURE]
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        if name == b"IDAT":
            break
        if name not in gone:
            parts.append(png[at : at + 12 + length])
        at += 12 + length
    return b"".join((*parts, *added, memoryview(png)[at:]))


def reaches_pixels(head: bytes | bytearray) -> bool:
    """Whether the beginning of a PNG, `head`, reaches its pixels."""
    at = len(_SIGNATURE)
    while at + 8 <= len(head):
        length, name = struct.unpack_from(">I4s", head, at)
        if name == b"IDAT":
            return True
        at += 12 + length
    return False


def with_early_exif(png: bytes) -> bytes:
    """A PNG with its EXIF moved before the pixels."""
    at, first, moved, rest = len(_SIGNATURE), 0, list[bytes](), [_SIGNATURE]
    while at + 12 <= len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        if name == b"IDAT" and not first:
            first = len(rest)
        (moved if name == b"eXIf" else rest).append(png[at : at + 12 + length])
        at += 12 + length
    return b"".join((*rest[:first], *moved, *rest[first:], png[at:]))


def _text(name: bytes, body: bytes) -> tuple[str, str] | None:
    key, _, rest = body.partition(b"\0")
    keyword = key.decode("latin-1")
    try:
        if name == b"tEXt":
            return keyword, rest.decode("latin-1")
        if name == b"zTXt":
            return keyword, _inflate(rest[1:]).decode("latin-1")
        packed = rest[:1] == b"\1"
        _language, _translated, text = rest[2:].split(b"\0", 2)
        return keyword, (_inflate(text) if packed else text).decode("utf-8", "surrogateescape")
    except (zlib.error, ValueError):
        return None


def _inflate(data: bytes) -> bytes:
    worker = zlib.decompressobj()
    text = worker.decompress(data, _MOST_BYTES)
    if worker.unconsumed_tail:
        raise ValueError("more than 64 MiB")
    return text


def _unhex(text: str) -> bytes | None:
    """The bytes of a raw profile: a name, a length, and lines of hexadecimal digits."""
    found = re.match(r"\s*\w+\s+(\d+)\s+([0-9a-fA-F\s]*)$", text)
    if found is None:
        return None
    try:
        return bytes.fromhex(found[2])[: int(found[1])]
    except ValueError:
        return None


def _dpi(phys: bytes) -> tuple[float, float] | None:
    if len(phys) < 9 or phys[8] != 1:  # 0: only the proportions are known
        return None
    across, down = struct.unpack_from(">II", phys)
    return (round(down / _INCHES_PER_METER, 3), round(across / _INCHES_PER_METER, 3)) if across and down else None
