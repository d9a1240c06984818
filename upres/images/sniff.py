"""Identify file formats by content; file names do not count."""

from __future__ import annotations

HEAD_BYTES = 132
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
RAW = "a camera raw file, of which only a small preview is readable"
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
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"MMOR", RAW),
    (b"IIU\0", RAW),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x1aE\xdf\xa3", "a Matroska video"),
)


_PNM = "seems to be a PNM picture (PBM, PGM or PPM)"
# What other packages decode, by the predicate of `sniff`: see `foreign`.
FOREIGN = {
    "seems to be a BMP picture": "bmp",
    "seems to be a Photoshop document": "psd",
    "seems to be a JPEG XL picture": "jxl",
    "seems to be a JPEG 2000 picture": "jp2",
    "seems to be an HEIC picture": "heic",
    "seems to be an OpenEXR picture": "exr",
    "seems to be a Radiance HDR picture": "hdr",
    f"seems to be {RAW}": "raw",
    _PNM: "pnm",
}


def sniff(head: bytes) -> tuple[str | None, str]:
    """(format, "") for a supported format, else (None, predicate of a message such as "seems to be a web page")."""
    if not head:
        return None, "is empty"
    if head[8:10] == b"CR" and head.startswith(b"II*\0"):  # Canon CR2
        return None, f"seems to be {RAW}"
    for magic, form in _OURS:
        if head.startswith(magic):
            return form, ""
    if head[128:132] == b"DICM":
        return None, "seems to be a DICOM picture"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp", ""
    if head[4:8] == b"ftyp":
        return _sniff_iso(head)
    for magic, words in _OTHERS:
        if head.startswith(magic):
            return None, f"seems to be {words}"
    if head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3] in b" \n\r\t":
        return None, _PNM
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text:
        return None, "is an SVG drawing, which has no pixels to enlarge: any program draws it at the size you want"
    if text.startswith(b"<?xml"):
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
    return None, f"seems to be {RAW}" if b"crx " in brands else "seems to be a video"
