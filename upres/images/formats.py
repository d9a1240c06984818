"""The formats that results can have, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is written.

    Args:
        suffixes: Of file names, the usual one first.
        longest_px: Longest side that the encoder accepts; the formats of some allow more.
        bits: A sample's, at most; 32 for light that has no highest value.
        holds: What it keeps beside pixels: "alpha", "icc", "exif", "xmp", "iptc", "dpi".
        quality: 1 to 100, without one that is asked for; None where nothing is lost.
        extra: Of upres that installs the package that encodes it; "" for the core.
        module: The package, for Python; "" for the core.
    """

    suffixes: tuple[str, ...]
    longest_px: int
    bits: int
    holds: frozenset[str]
    quality: int | None = None
    extra: str = ""
    module: str = ""


def _format(
    suffixes: str,
    longest_px: int,
    bits: int,
    holds: str = "",
    quality: int | None = None,
    extra: str = "",
    module: str = "",
) -> Format:
    return Format(tuple(suffixes.split()), longest_px, bits, frozenset(holds.split()), quality, extra, module)


# Encoded by libvips.
_CORE = {
    "png": _format(".png", 1_000_000, 16, "alpha icc exif xmp iptc dpi"),
    "jpeg": _format(".jpg .jpeg .jfif", 65_500, 8, "icc exif xmp iptc dpi", 95),
    "webp": _format(".webp", 16_383, 8, "alpha icc exif xmp dpi", 95),
    "tiff": _format(".tif .tiff", 10_000_000, 16, "alpha icc exif xmp iptc dpi"),
    "avif": _format(".avif", 16_384, 12, "alpha icc exif xmp dpi", 80),
}
# Encoded by other packages, from a picture that is whole in memory: see `foreign_out`.
FOREIGN_FORMATS = {
    "pnm": _format(".ppm .pgm .pnm", 1_000_000, 16),
    "pam": _format(".pam", 1_000_000, 16, "alpha"),
    "bmp": _format(".bmp", 65_535, 8, "dpi", None, "formats", "PIL"),
    "tga": _format(".tga", 65_535, 8, "alpha", None, "formats", "PIL"),
    "heic": _format(".heic .heif .hif", 16_384, 12, "alpha icc exif xmp dpi", 90, "heic", "pillow_heif"),
    "jxl": _format(".jxl", 1_000_000, 16, "alpha icc exif xmp dpi", 100, "formats", "pyjpegxl"),
    "jp2": _format(".jp2", 1_000_000, 16, "alpha icc exif xmp dpi", None, "formats", "imagecodecs"),
    "exr": _format(".exr", 1_000_000, 32, "alpha dpi", None, "formats", "OpenEXR"),
    "hdr": _format(".hdr", 1_000_000, 32, "", None, "formats", "imagecodecs"),
}
FORMATS = _CORE | FOREIGN_FORMATS
CORE_SUFFIXES = {suffix: name for name, found in _CORE.items() for suffix in found.suffixes}
WRITABLE_FORMATS = {suffix: name for name, found in FORMATS.items() for suffix in found.suffixes}
SCENE_FORMATS = ("exr", "hdr")
