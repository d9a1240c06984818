"""Identify file formats by content; file names do not count."""

from __future__ import annotations

import io
import struct
from pathlib import Path

HEAD_BYTES = 64
NAMES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF", "avif": "AVIF", "gif": "GIF"}

_OURS = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
)
_RAW = "a camera raw file, of which only a small preview is readable"
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"BM", "a BMP picture"),
    (b"8BPS", "a Photoshop document"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
)


def sniff(head: bytes) -> tuple[str | None, str]:
    """(format, "") for a supported format, else (None, predicate of a message such as "seems to be a web page")."""
    if not head:
        return None, "is empty"
    if head[8:10] == b"CR" and head.startswith(b"II*\0"):  # Canon CR2
        return None, f"seems to be {_RAW}"
    for magic, form in _OURS:
        if head.startswith(magic):
            return form, ""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp", ""
    if head[4:8] == b"ftyp":
        return _sniff_iso(head)
    for magic, words in _OTHERS:
        if head.startswith(magic):
            return None, f"seems to be {words}"
    if head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in b" \n\r\t":
        return None, "seems to be a PNM picture (PBM, PGM or PPM)"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text or text.startswith(b"<?xml"):
        return None, "seems to be SVG or other XML"
    if text.startswith((b"<!doctype html", b"<html")):
        return None, "seems to be a web page"
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 or byte >= 160 for byte in head):
        return None, "seems to be text"
    return None, "has an unknown format"


def _sniff_iso(head: bytes) -> tuple[str | None, str]:
    """ISO base media files, by the brands in their first box (size, "ftyp", major brand, version, other brands)."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    if brands & {b"avif", b"avis"}:
        return "avif", ""
    if brands & {b"heic", b"heix", b"hevc", b"mif1", b"msf1"}:
        return None, "seems to be an HEIC picture"
    return None, "seems to be a video"


# TIFF tags that EXIF also has: make, model, date, artist, copyright, and the EXIF and GPS directories.
_EXIF_TAGS = frozenset({271, 272, 306, 315, 33432, 34665, 34853})
_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS = 254, 262, 330
_SENSOR = frozenset({32803, 34892})  # photometric interpretations of DNG: color filter array, linear raw
_LAB = frozenset({8, 9, 10})
_INLINE = {1: "B", 3: "H", 4: "I"}  # tag types that are read: BYTE, SHORT, LONG


def tiff_tags(source: Path | bytes) -> dict[int, int]:
    """{tag: first value} of the first page of a TIFF (TIFF 6.0, section 2) or BigTIFF, which libvips does not expose.

    Values not stored in the directory itself are 0. Empty if the directory is unreadable: the decoder reports that.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        try:
            big = struct.unpack_from(order + "H", head, 2)[0] == 43
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
            file.seek(offset)
            (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
            size, room = (20, 8) if big else (12, 4)  # bytes of an entry, and of its value field
            entries = file.read(size * min(count, 4096))
            tags: dict[int, int] = {}
            for at in range(0, len(entries) - size + 1, size):
                tag, kind, many = struct.unpack_from(order + ("HHQ" if big else "HHI"), entries, at)
                form = _INLINE.get(kind)
                fits = form is not None and struct.calcsize(form) * many <= room
                tags[tag] = struct.unpack_from(f"{order}{form}", entries, at + size - room)[0] if fits else 0
        except (struct.error, OSError, OverflowError, ValueError):
            return {}
    return tags


def sniff_tiff(source: Path | bytes) -> tuple[str | None, str]:
    """Like `sniff`, for files that begin as TIFF: camera raw files do, and put a small preview on their first page."""
    tags = tiff_tags(source)
    small = tags.get(_SUBFILE_TYPE, 0) & 1 and _SUB_IFDS in tags  # reduced-resolution page, full one in a sub-IFD
    if small or tags.get(_PHOTOMETRIC) in _SENSOR:
        return None, f"seems to be {_RAW}"
    if tags.get(_PHOTOMETRIC) in _LAB:
        return None, "seems to be a TIFF in Lab color"
    return "tiff", ""


def tiff_has_exif(source: Path | bytes) -> bool:
    """Whether the first page of a TIFF carries EXIF. False if its directory is unreadable."""
    return not tiff_tags(source).keys().isdisjoint(_EXIF_TAGS)
