"""Metadata into an encoded file: EXIF byte for byte, texts, IPTC and TIFF fields; and what a format cannot hold."""

from __future__ import annotations

import io
from typing import BinaryIO

from upres.images import avif_boxes, bands, exif, jpeg_segments, png_chunks, tiff, webp_chunks
from upres.images.formats import FORMATS, SCENE_FORMATS
from upres.images.ifd import Entry
from upres.images.picture import Picture
from upres.images.scene import TEXTS as SCENE_TEXTS

_JFIF_BYTES = 20  # the beginning of a JPEG, and its JFIF header
_XMP_BYTES_JPEG = 60_000  # libvips leaves out longer ones
_TEXT_KEYWORDS = {"jpeg": ("Comment",), "tiff": ("Description", "Comment")}  # one text of these


def metadata_notes(picture: Picture, format: str) -> list[str]:
    """What metadata `format` cannot hold."""
    notes: list[str] = []
    holds = FORMATS[format].holds
    if picture.icc is not None and "icc" not in holds and format not in SCENE_FORMATS:
        words = "colors were converted to sRGB" if picture.pixels.shape[2] == 3 else "gray stays as it is"
        notes.append(f"the color profile is not written to {format} ({words}); write png to keep it")
    for name, block in (("exif", picture.exif), ("xmp", picture.xmp)):
        if block is not None and name not in holds:
            notes.append(f"{name.upper()} is not written to {format}; write png to keep it")
    if picture.dpi is not None and "dpi" not in holds:
        notes.append(f"the resolution in dots per inch is not written to {format}; write png to keep it")
    if picture.exif is not None and format == "jpeg" and not jpeg_segments.fits(picture.exif):
        notes.append(f"{len(picture.exif):,} bytes of EXIF do not fit into jpeg; write png to keep them")
    if picture.exif is not None and format == "tiff" and (lost := tiff.exif_lost(picture.exif)):
        notes.append(f"{lost} is not written to tiff; write png or jpeg to keep it")
    if picture.xmp is not None and format == "jpeg" and len(picture.xmp) > _XMP_BYTES_JPEG:
        notes.append(f"{len(picture.xmp):,} bytes of XMP do not fit into jpeg; write png to keep them")
    left = [keyword for keyword, _ in _texts_left(picture, format)]
    if left:
        names = ", ".join(dict.fromkeys(left))
        notes.append(f"text ({names}) is not written to {format}; write png to keep it")
    if picture.iptc is not None and "iptc" not in holds:
        notes.append(f"IPTC is not written to {format}; write png, jpeg or tiff to keep it")
    if format != "tiff" and tiff.is_georeferenced(picture.tiff_tags):
        notes.append(f"the georeference is not written to {format}; write tiff to keep it")
    if format != "tiff" and (many := picture.band_count):
        notes.append(f"bands beyond the colors ({many}) are not written to {format}; write tiff to keep them")
    return notes


def embed(data: bytes, picture: Picture, format: str) -> bytes:
    """An encoded picture with its EXIF, texts, IPTC and TIFF fields. `needs_exif_item` says what an AVIF must have."""
    height, width = picture.pixels.shape[:2]
    block = None if picture.exif is None else exif.made_true(picture.exif, height, width, picture.dpi)
    if block is None and picture.dpi is not None and format in ("webp", "avif"):
        block = exif.of_resolution(picture.dpi)
    kept = _texts_kept(picture, format)
    if format == "png":
        added = png_chunks.text_chunks(kept)
        if block is not None:
            added.append(png_chunks.chunk(b"eXIf", block))
        if picture.iptc is not None:
            added.append(png_chunks.iptc_chunk(picture.iptc))
        # libvips writes a resolution where none is known
        return png_chunks.with_chunks(data, added, (b"pHYs",) if picture.dpi is None else ())
    if format == "jpeg":
        return jpeg_segments.with_segments(data, block, picture.iptc, picture.dpi, tuple(text for _, text in kept))
    if format == "tiff":
        file = io.BytesIO(data)
        add_to_tiff(file, picture)
        return file.getvalue()
    if block is not None:
        return (
            webp_chunks.with_exif(data, block, height, width) if format == "webp" else avif_boxes.with_exif(data, block)
        )
    return data


def _tiff_tags(picture: Picture) -> dict[int, Entry]:
    """The fields of a TIFF, with what its samples beyond the colors are."""
    tags = {tag: found for tag, found in picture.tiff_tags.items() if tag != bands.EXTRA_SAMPLES}
    if picture.band_count:
        kinds = bands.kinds_in(picture.tiff_tags, picture.band_count, picture.alpha is not None)
        tags[bands.EXTRA_SAMPLES] = bands.extra_samples(kinds)
    return tags


def add_to_tiff(file: BinaryIO, picture: Picture) -> None:
    """`embed` for a TIFF, in a file open for reading and writing."""
    height, width = picture.pixels.shape[:2]
    block = None if picture.exif is None else exif.made_true(picture.exif, height, width, picture.dpi)
    kept = _texts_kept(picture, "tiff")
    tiff.add_tags(file, _tiff_tags(picture), picture.dpi, block, picture.iptc, kept[0][1] if kept else "")


def head_is_complete(head: bytes | bytearray, format: str) -> bool:
    """Whether `embed` needs no more than `head` of an encoded PNG or JPEG; the rest of the file follows its result."""
    return png_chunks.reaches_pixels(head) if format == "png" else len(head) >= _JFIF_BYTES


def needs_exif_item(picture: Picture, format: str) -> bool:
    """Whether the encoder must write an EXIF item, which `embed` then replaces."""
    return format == "avif" and (picture.exif is not None or picture.dpi is not None)


def _texts_kept(picture: Picture, format: str) -> tuple[tuple[str, str], ...]:
    if format == "png":
        return picture.texts
    keywords = SCENE_TEXTS if format == "exr" else _TEXT_KEYWORDS.get(format, ())
    found = tuple(pair for pair in picture.texts if pair[0] in keywords)
    return found[:1] if format == "tiff" else found


def _texts_left(picture: Picture, format: str) -> tuple[tuple[str, str], ...]:
    kept = _texts_kept(picture, format)
    return tuple(pair for pair in picture.texts if pair not in kept)
