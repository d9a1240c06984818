"""The formats that results can have, and what each can hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is written.

    Args:
        suffixes: Of file names, the usual one first.
        longest_px: Longest side that the encoder accepts; the formats of some allow more.
        bits: A sample's, at most.
        holds: What it keeps beside pixels: "alpha", "icc", "exif", "xmp", "iptc".
        quality: 1 to 100, without one that is asked for; None where nothing is lost.
    """

    suffixes: tuple[str, ...]
    longest_px: int
    bits: int
    holds: frozenset[str]
    quality: int | None = None


def _format(suffixes: str, longest_px: int, bits: int, holds: str = "", quality: int | None = None) -> Format:
    return Format(tuple(suffixes.split()), longest_px, bits, frozenset(holds.split()), quality)


FORMATS = {
    "png": _format(".png", 1_000_000, 16, "alpha icc exif xmp iptc"),
    "jpeg": _format(".jpg .jpeg .jfif", 65_500, 8, "icc exif xmp iptc", 95),
    "webp": _format(".webp", 16_383, 8, "alpha icc exif xmp", 95),
    "tiff": _format(".tif .tiff", 10_000_000, 16, "alpha icc exif xmp iptc"),
    "avif": _format(".avif", 16_384, 12, "alpha icc exif xmp", 80),
}
WRITABLE_FORMATS = {suffix: name for name, found in FORMATS.items() for suffix in found.suffixes}
