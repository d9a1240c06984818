"""What the first page of a TIFF says of itself, read from its directory before a decoder opens the file.

libvips does not tell declared transparency from other bands, reads uncompressed YCbCr as RGB, and drops georeference
and text. Source: TIFF 6.0; GeoTIFF 1.1 (OGC 19-008); GDAL's tags 42112 and 42113.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from upres.images.bands import ASSOCIATED, EXTRA_SAMPLES, count_bands, extra_samples, kinds_of
from upres.images.ifd import (
    ASCII,
    DOUBLE,
    LONG,
    LONG8,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Directory,
    Entry,
    append_directory,
    change_entries,
    entry,
    read_directory,
)
from upres.images.sniff import RAW

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _DESCRIPTION = 254, 258, 259, 262, 270
_ORIENTATION, _SAMPLES, _XRES, _YRES, _PLANES, _UNIT = 274, 277, 282, 283, 284, 296
_SUB_IFDS, _FORMAT, _SUBSAMPLING, _IPTC, _EXIF, _GPS = 330, 339, 530, 33723, 34665, 34853
_PIXEL_SCALE, _TIEPOINTS, _MATRIX, _NODATA, _RPC = 33550, 33922, 34264, 42113, 50844
_MAKER_NOTE, _INTEROP = 37500, 40965
_GEO = (_PIXEL_SCALE, _TIEPOINTS, _MATRIX, 34735, 34736, 34737, 42112, _NODATA)
# Fields that EXIF has as well: description, make, model, software, date, artist, host computer, copyright.
_OF_EXIF = (_DESCRIPTION, 271, 272, 305, 306, 315, 316, 33432)
_READ = {1, 2, 3, 4, 5, 7, 8, 32946, 32773, 50001}  # compressions that the bundled libtiff decodes
_COMPRESSIONS = {
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50002: "JPEG XL",
    52546: "JPEG XL",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
}
_SENSOR = frozenset({32803, 34892})  # photometric interpretations of DNG: color filter array, linear raw
_LAB = frozenset({8, 9, 10})
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3}  # bands of a photometric interpretation, without extra ones
_NAMES = {1: "gray", 3: "RGB", 4: "CMYK"}
_YCBCR = 6
_CENTIMETER = 3
_CM_PER_INCH = 2.54


@dataclass(frozen=True, slots=True)
class TiffFacts:
    """The first page of a TIFF.

    Args:
        format: "tiff", or None for what only begins as TIFF.
        refusal: Why it cannot be read, and the remedy, as the predicate of a message; empty if nothing is known.
        notes: What is not kept.
        tags: Fields that a TIFF result keeps: georeference, nodata, text, calibration.
        description: ImageDescription.
        exif: The fields of EXIF in it, as an EXIF block.
        iptc: IPTC records.
        dpi: Dots per inch, (h, w), as stored.
        ycbcr: Whether its samples are uncompressed YCbCr.
        extra: ExtraSamples of all samples beyond the colors.
        orientation_at: Where an orientation out of range stands, with the byte order; None if it is in range.
    """

    format: str | None = "tiff"
    refusal: str = ""
    notes: tuple[str, ...] = ()
    tags: dict[int, Entry] = field(default_factory=dict[int, Entry])
    description: str = ""
    exif: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    ycbcr: bool = False
    extra: tuple[int, ...] = ()
    orientation_at: tuple[int, str] | None = None


def read_tiff(file: BinaryIO) -> TiffFacts:
    """Facts of a TIFF or BigTIFF. An unreadable directory gives none: the decoder reports it."""
    try:
        page = read_directory(file)
    except ValueError:
        return TiffFacts()
    photometric = page.number(_PHOTOMETRIC, -1)
    preview = page.number(_SUBFILE) & 1 and _SUB_IFDS in page.entries  # the full picture is in a sub-IFD
    if preview or photometric in _SENSOR:
        return TiffFacts(None, f"seems to be {RAW}")
    if photometric in _LAB:
        return TiffFacts(None, "seems to be a TIFF in Lab color")
    refusal, notes = _refusal(page, photometric), _notes(page, photometric)
    description = page.text(_DESCRIPTION)
    if description.startswith('{"shape"') or "<OME" in description:  # it has the size of the source
        notes += ("the OME-XML description was not kept",) if "<OME" in description else ()
        del page.entries[_DESCRIPTION]
    turn = page.entries.get(_ORIENTATION)
    bad_turn = turn is not None and not 1 <= page.number(_ORIENTATION) <= 8
    unit, ratios = page.number(_UNIT, 2), (page.numbers(_YRES), page.numbers(_XRES))
    dpi = None
    if unit in (2, _CENTIMETER) and all(ratios) and all(0.0 < found[0] < 1e6 for found in ratios):
        factor = _CM_PER_INCH if unit == _CENTIMETER else 1.0
        dpi = (round(ratios[0][0] * factor, 3), round(ratios[1][0] * factor, 3))
    tags = {tag: page.entries[tag] for tag in (*_GEO, *_OF_EXIF) if tag in page.entries and page.entries[tag].data}
    calibrated = unit == _CENTIMETER or description.startswith("ImageJ=")
    if calibrated:
        tags |= {tag: page.entries[tag] for tag in (_XRES, _YRES, _UNIT) if tag in page.entries}
    iptc, extra = page.entries.get(_IPTC), _extra(page, photometric)
    if count_bands(extra):
        tags[EXTRA_SAMPLES] = extra_samples(extra)
    return TiffFacts(
        refusal=refusal,
        notes=notes,
        tags=tags,
        description=page.text(_DESCRIPTION),
        exif=_exif(file, page),
        iptc=None if iptc is None else iptc.data or None,
        dpi=dpi,
        ycbcr=photometric == _YCBCR and page.number(_COMPRESSION, 1) != 7,
        extra=extra,
        orientation_at=(turn.data_at, turn.order) if turn is not None and bad_turn else None,
    )


def _refusal(page: Directory, photometric: int) -> str:
    compression = page.number(_COMPRESSION, 1)
    if compression == 6:
        return "is compressed as an old-style JPEG, which is not read; save it again with LZW or Deflate"
    if compression not in _READ:
        name = _COMPRESSIONS.get(compression, f"method {compression}")
        return f"is compressed with {name}, which is not read; save it again with LZW or Deflate"
    bits = {int(value) for value in page.numbers(_BITS)} or {1}
    formats = {int(value) for value in page.numbers(_FORMAT)} or {1}
    wanted = "expected 8- or 16-bit integers; convert it to 16 bits"
    if formats & {5, 6}:
        return f"stores samples as complex numbers, {wanted}"
    if 3 in formats:
        return f"stores samples as {max(bits)}-bit floating point, {wanted}"
    if len(bits) > 1:
        return f"stores samples of {' and '.join(map(str, sorted(bits)))} bits together, {wanted}"
    if not bits <= {1, 2, 4, 8, 16, 32}:
        return f"stores samples of {max(bits)} bits, {wanted}"
    samples, colors = page.number(_SAMPLES, 1), _COLORS.get(photometric)
    if colors is None or samples < colors or bits & {32} or 2 in formats:
        return ""  # the decoder tells
    extra = _extra(page, photometric)
    if len(extra) - count_bands(extra) != sum(kind in (1, 2) for kind in extra):
        return "declares several bands as transparency; save each band as a file of its own"
    if count_bands(extra) and ASSOCIATED in extra:
        return "has bands beside transparency that the colors are multiplied by; save it with unassociated alpha"
    if count_bands(extra) and photometric not in (0, 1, 2):
        kind = _NAMES[colors] if colors > 1 else "gray" if photometric == 4 else "a palette"
        return f"has {len(extra)} more than the samples of {kind}; save each band as a file of its own"
    if extra and page.number(_PLANES, 1) == 2 and colors == 1:  # libvips mixes their rows
        what = "bands" if count_bands(extra) else "gray and transparency"
        return f"stores {what} in separate planes, which is not read; save it pixel by pixel (contiguous)"
    if photometric == _YCBCR and compression != 7:
        full = tuple(int(value) for value in page.numbers(_SUBSAMPLING) or (2, 2)) == (1, 1)
        if not full or page.number(_PLANES, 1) == 2:
            return "stores YCbCr with reduced chroma without JPEG, which is not read; save it as RGB"
    return ""


def _extra(page: Directory, photometric: int) -> tuple[int, ...]:
    extra = page.number(_SAMPLES, 1) - _COLORS.get(photometric, page.number(_SAMPLES, 1))
    return kinds_of(max(0, extra), [int(value) for value in page.numbers(EXTRA_SAMPLES)])


def _notes(page: Directory, photometric: int) -> tuple[str, ...]:
    notes: list[str] = []
    if photometric == 3:
        notes.append("the palette was converted to RGB")
    if photometric == 0 and {int(value) for value in page.numbers(_BITS)} != {1}:
        notes.append("gray is stored inverted (0 is white); the result has 0 for black")
    if _RPC in page.entries:
        notes.append("the rational polynomial coefficients (RPC) of the georeference were not kept")
    if _NODATA in page.entries:
        notes.append(f"pixels without data (value {page.text(_NODATA)}) were treated as a color; mask them afterwards")
    return tuple(notes)


def _exif(file: BinaryIO, page: Directory) -> bytes | None:
    """The text fields, the EXIF and the GPS directory as an EXIF block; None if there are none."""
    body = bytearray((b"II*\0" if page.order == "<" else b"MM\0*") + bytes(4))
    entries = {tag: page.entries[tag] for tag in _OF_EXIF if tag in page.entries and page.entries[tag].data}
    if not entries.keys() - {_DESCRIPTION, 305} and not page.entries.keys() & {_EXIF, _GPS}:
        return None  # a program's name and a description alone are no EXIF
    for tag in (_EXIF, _GPS):
        if tag in page.entries:
            try:
                inner = _movable(read_directory(file, page.number(tag)))
            except ValueError:
                continue
            entries[tag] = entry(LONG, (append_directory(body, inner, page.order),), page.order)
    place = append_directory(body, entries, page.order)
    body[4:8] = place.to_bytes(4, "little" if page.order == "<" else "big")
    return bytes(body)


def scaled_tags(tags: dict[int, Entry], rows: float, columns: float) -> dict[int, Entry]:
    """The fields for a picture whose sides were multiplied by `rows` and `columns`: pixels are smaller on the ground.

    The upper left corner stays where it is; tiepoints in pixels count from it (PixelIsArea).
    """
    result = dict(tags)

    def scale(tag: int, kind: int, factors: tuple[float, ...]) -> None:
        found = tags.get(tag)
        if found is not None:
            numbers = tuple(value * factors[i % len(factors)] for i, value in enumerate(found.numbers))
            result[tag] = entry(kind, numbers)

    scale(_PIXEL_SCALE, DOUBLE, (1 / columns, 1 / rows, 1.0))
    scale(_TIEPOINTS, DOUBLE, (columns, rows, 1.0, 1.0, 1.0, 1.0))
    scale(_MATRIX, DOUBLE, (1 / columns, 1 / rows, 1.0, 1.0))
    scale(_XRES, RATIONAL, (columns,))
    scale(_YRES, RATIONAL, (rows,))
    return result


def add_tags(
    file: BinaryIO,
    tags: dict[int, Entry],
    dpi: tuple[float, float] | None,
    exif: bytes | None = None,
    iptc: bytes | None = None,
    description: str = "",
) -> None:
    """Give a TIFF, open for reading and writing, fields of its own, of EXIF and of IPTC, and no resolution that nobody
    stated.

    tags: Fields to add. dpi: None if it is unknown. exif: A block, whose maker note is left out, since its offsets
    count from places in its own file. iptc: Records. description: ImageDescription, if `tags` have none.
    """
    changes: dict[int, Entry | None] = {}
    body, base = bytearray(), file.seek(0, 2)
    file.seek(0)
    head = file.read(4)
    order: Literal["<", ">"] = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    if description:
        changes[_DESCRIPTION] = entry(ASCII, description.encode() + b"\0")
    if exif is not None:
        block = io.BytesIO(exif)
        try:
            first = read_directory(block)
            changes |= {tag: first.entries[tag] for tag in _OF_EXIF if tag in first.entries and first.entries[tag].data}
            for tag in (_EXIF, _GPS):
                if tag in first.entries:
                    inner = _movable(read_directory(block, first.number(tag)))
                    place = append_directory(body, inner, order, big, base=base)
                    changes[tag] = entry(LONG8 if big else LONG, (place,))
        except ValueError:
            pass  # `exif_lost` tells
    if iptc is not None:
        changes[_IPTC] = entry(UNDEFINED, iptc)
    changes |= tags
    if dpi is None and _XRES not in tags:  # the fields are required; unit 1 says that only their ratio has a meaning
        changes |= {_XRES: entry(RATIONAL, (1.0,)), _YRES: entry(RATIONAL, (1.0,)), _UNIT: entry(SHORT, (1,))}
    if changes:
        change_entries(file, body, changes)


def _movable(inner: Directory) -> dict[int, Entry]:
    """The fields of a directory that keep their meaning in another file."""
    return {tag: found for tag, found in inner.entries.items() if found.data and tag not in (_MAKER_NOTE, _INTEROP)}


def exif_lost(exif: bytes) -> str:
    """What of an EXIF block a TIFF does not get, as the subject of a message; empty if nothing."""
    try:
        first = read_directory(io.BytesIO(exif))
        inner = read_directory(io.BytesIO(exif), first.number(_EXIF)).entries if _EXIF in first.entries else {}
    except ValueError:
        return "damaged EXIF"
    return "the maker note of EXIF" if _MAKER_NOTE in inner else ""


def is_georeferenced(tags: dict[int, Entry]) -> bool:
    """Whether `tags` place the picture on the ground."""
    return any(tag in tags for tag in (_PIXEL_SCALE, _TIEPOINTS, _MATRIX))


def is_calibrated(tags: dict[int, Entry]) -> bool:
    """Whether `tags` say how long a pixel is."""
    return _XRES in tags
