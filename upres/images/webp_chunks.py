"""EXIF in a WebP file, which is a RIFF container. Source: RFC 9649."""

from __future__ import annotations

import struct

_EXIF_FLAG, _ALPHA_FLAG = 0x08, 0x10


def with_exif(webp: bytes, exif: bytes, height: int, width: int) -> bytes:
    """An encoded WebP with an EXIF chunk; the extended header is made where there is none."""
    chunks = [(name, body) for name, body in _chunks(webp) if name != b"EXIF"]
    if chunks[0][0] == b"VP8X":
        header = bytearray(chunks[0][1])
        header[0] |= _EXIF_FLAG
        chunks[0] = (b"VP8X", bytes(header))
    else:
        name, body = chunks[0]
        alpha = name == b"VP8L" and len(body) > 4 and body[4] >> 4 & 1  # bit 28 of the header, after the signature
        flags = _EXIF_FLAG | (_ALPHA_FLAG if alpha else 0)
        sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        chunks.insert(0, (b"VP8X", bytes((flags, 0, 0, 0)) + sides))
    before_xmp = next((i for i, (name, _) in enumerate(chunks) if name == b"XMP "), len(chunks))
    chunks.insert(before_xmp, (b"EXIF", exif))
    whole = b"".join(name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for name, body in chunks)
    return b"RIFF" + struct.pack("<I", len(whole) + 4) + b"WEBP" + whole


def _chunks(webp: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    at = 12
    while at + 8 <= len(webp):
        name, length = struct.unpack_from("<4sI", webp, at)
        found.append((name, webp[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found
