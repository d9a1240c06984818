"""The name of a color profile."""

from __future__ import annotations

import struct


def profile_name(icc: bytes) -> str | None:
    """The description in an ICC profile (ICC.1:2022, section 9.2.41), or None where it has none that can be read."""
    try:
        (count,) = struct.unpack_from(">I", icc, 128)
        for entry in range(min(count, 100)):
            signature, offset, size = struct.unpack_from(">4sII", icc, 132 + 12 * entry)
            if signature == b"desc":
                return _text(icc[offset : offset + size])
    except (struct.error, UnicodeDecodeError):  # a damaged profile has no name; the reader says what was made of it
        return None
    return None


def _text(tag: bytes) -> str | None:
    if tag[:4] == b"desc":  # version 2: a count, then ASCII ended by 0
        (length,) = struct.unpack_from(">I", tag, 8)
        text = tag[12 : 12 + length].split(b"\0")[0].decode("ascii")
    elif tag[:4] == b"mluc":  # version 4: records of (language, country, length, offset), UTF-16
        length, offset = struct.unpack_from(">II", tag, 20)
        text = tag[offset : offset + length].decode("utf-16-be")
    else:
        return None
    printable = "".join(letter for letter in text if letter.isprintable()).strip()
    return printable[:80] or None
