"""What a file says of its picture that libvips does not tell, read from the file itself."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from upres.images import avif_sequence, said_colors
from upres.images.avif_boxes import read_boxes
from upres.images.bands import count_bands
from upres.images.ifd import Entry
from upres.images.jpeg_segments import read_segments
from upres.images.jpeg_tables import quality_of, tables_in
from upres.images.picture import JpegCoding, SceneLight
from upres.images.png_chunks import Texts, iptc_of, read_chunks, with_early_exif
from upres.images.tiff import read_tiff
from upres.system.packages import has_module, install_command

_FULL_RANGE_OF_GRAY = (255.0 / 219.0, 16.0)  # of studio-range luma: gain, and the level of black
_COLOR_TYPE = 9  # of a PNG, in its header chunk
_GRAY_TYPES = (0, 4)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a file beside its pixels.

    Args:
        format: The format, or None if the content is of another kind than its beginning says.
        refusal: The predicate of the message if it cannot be read, with the remedy; empty if nothing is known.
        notes: What the user should know of it.
        icc: The profile of colors that the file says by codes or numbers.
        texts: Its texts by keyword: PNG's text chunks, JPEG's comments ("Comment"), TIFF's ImageDescription.
        iptc: IPTC records.
        exif: EXIF that is not in one block: of TIFF, and of PNG's raw profiles.
        dpi: Dots per inch, (h, w), beside EXIF.
        tags: Fields that a TIFF result keeps.
        gray: Whether the decoder's three channels are one.
        studio_gray: Whether gray is in studio range, 16 to 235.
        ycbcr: Whether the decoder's RGB is YCbCr.
        extra: ExtraSamples of a TIFF's samples beyond the colors.
        orientation_at: Where a TIFF's orientation out of range stands, with its byte order.
        jpeg: How a JPEG is compressed.
        scene: What pixels stand for that are light.
        late_exif: Whether a PNG's EXIF stands behind its pixels.
    """

    format: str | None
    refusal: str = ""
    notes: tuple[str, ...] = ()
    icc: bytes | None = None
    texts: Texts = ()
    iptc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    tags: dict[int, Entry] = field(default_factory=dict[int, Entry])
    gray: bool = False
    studio_gray: bool = False
    ycbcr: bool = False
    extra: tuple[int, ...] = ()
    orientation_at: tuple[int, str] | None = None
    jpeg: JpegCoding | None = None
    scene: SceneLight | None = None
    late_exif: bool = False


def read_facts(source: Path | bytes, form: str) -> Facts:
    """Facts of a file of a format; damaged parts are left out. Raises `OSError` for a file that cannot be read."""
    reader = {"png": _png, "jpeg": _jpeg, "tiff": _tiff, "avif": _avif}.get(form)
    if reader is None:
        return Facts(form)
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        return reader(file)


def repaired(source: Path | bytes, facts: Facts) -> Path | bytes:
    """`source`, or its bytes as decoders take them: TIFF orientations out of 1 to 8 as 1, EXIF of PNG before pixels."""
    if facts.late_exif:
        return with_early_exif(source if isinstance(source, bytes) else source.read_bytes())
    if facts.orientation_at is None:
        return source
    data = bytearray(source if isinstance(source, bytes) else source.read_bytes())
    at, order = facts.orientation_at
    data[at : at + 2] = b"\1\0" if order == "<" else b"\0\1"
    return bytes(data)


def _frames(count: int, words: str) -> tuple[str, ...]:
    return (f"only the first of {count} {words} was read",) if count > 1 else ()


def _png(file: BinaryIO) -> Facts:
    chunks = read_chunks(file)
    file.seek(16 + _COLOR_TYPE)
    gray = file.read(1) in [bytes((kind,)) for kind in _GRAY_TYPES]
    named = chunks.by_name
    icc, refusal, notes = None, "", _frames(chunks.frames, "frames")
    codes = named.get(b"cICP", b"")
    if len(codes) >= 4 and b"iCCP" not in named:
        try:
            icc = said_colors.profile_of_codes(codes[0], codes[1], gray=gray)
        except ValueError as error:
            refusal = str(error)
    elif not named.keys() & {b"iCCP", b"sRGB"} and named.keys() & {b"gAMA", b"cHRM"}:
        icc = said_colors.profile_of_gamma(named.get(b"gAMA", b""), named.get(b"cHRM", b""), gray=gray)
    raw = chunks.raw
    exif = (raw.get("exif") or raw.get("app1") or b"").removeprefix(b"Exif\0\0") or None
    iptc = iptc_of(raw.get("iptc", b""))
    return Facts("png", refusal, notes, icc, chunks.texts, iptc, exif, chunks.dpi, late_exif=chunks.late_exif)


def _jpeg(file: BinaryIO) -> Facts:
    found = read_segments(file)
    notes: list[str] = []
    if found.pictures > 1:
        notes.append(f"only the first of {found.pictures} pictures in the file was read")
    if found.extended_xmp:
        notes.append("the second part of XMP (more than 64 KB) was not kept")
    texts = tuple(("Comment", text) for text in found.comments)
    coding = _coding(file, found.sampling)
    return Facts("jpeg", notes=tuple(notes), texts=texts, iptc=found.iptc, dpi=found.dpi, jpeg=coding)


def _coding(file: BinaryIO, sampling: tuple[tuple[int, int], ...]) -> JpegCoding | None:
    """`sampling`: factors of the components, (horizontal, vertical)."""
    tables = tables_in(file)
    if tables is None:
        return None
    halved = len(sampling) == 3 and all(luma >= 2 * blue for luma, blue in zip(*sampling[:2], strict=True))
    return JpegCoding(quality_of(tables.luma)[0], halved)


def _tiff(file: BinaryIO) -> Facts:
    found = read_tiff(file)
    described = found.description and found.exif is None  # else EXIF has it
    notes = found.notes
    if found.format is not None and count_bands(found.extra) and not has_module("rasterio"):
        words = f"with {install_command('geo')} their values are measured"
        notes += (f"bands beyond the colors ran as gray pictures; {words}",)
    return Facts(
        found.format,
        found.refusal,
        notes,
        texts=(("Description", found.description),) if described else (),
        iptc=found.iptc,
        exif=found.exif,
        dpi=found.dpi,
        tags=found.tags,
        ycbcr=found.ycbcr,
        extra=found.extra,
        orientation_at=found.orientation_at,
    )


def _avif(file: BinaryIO) -> Facts:
    found = read_boxes(file)
    notes = _frames(found.frames, "frames")
    if notes and not avif_sequence.is_available():
        notes = (f"{notes[0]}; {avif_sequence.missing()}",)
    facts = Facts("avif", notes=notes, gray=found.gray)
    if found.nclx is None:
        return facts
    primaries, transfer, _, full = found.nclx
    facts = replace(facts, studio_gray=found.gray and not full)
    if found.has_profile:
        return facts
    try:
        return replace(facts, icc=said_colors.profile_of_codes(primaries, transfer, gray=found.gray))
    except ValueError as error:
        return replace(facts, refusal=str(error))
