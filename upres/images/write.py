"""Encode a `Picture` with its profile, metadata and resolution; write files atomically, and warn of any loss."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import errno
import io
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from upres.errors import OutputError
from upres.images import foreign_out, png_chunks
from upres.images.embed import embed, metadata_notes, needs_exif_item
from upres.images.flat import is_flat
from upres.images.formats import FOREIGN_FORMATS, FORMATS, SCENE_FORMATS, WRITABLE_FORMATS
from upres.images.icc import Levels, color_space, wrap
from upres.images.levels import levels_to_write, levels_type
from upres.images.picture import Picture
from upres.images.target_size import check_target_kb, encode_within
from upres.images.vips import VipsError, attempt, begin_pixels, pyvips
from upres.images.xmp import upright
from upres.system.files import output_error, write_atomic
from upres.system.folders import exists, is_file, is_folder

_LOG = logging.getLogger(__name__)
_MM_PER_INCH = 25.4
_DPI_UNKNOWN = 72.0  # the value that EXIF (CIPA DC-008, tag 282) prescribes for an unknown resolution
_TELL_BELOW = 75  # JPEG quality, as libjpeg's default, below which a result shows blocks
_NO_EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a block without fields, in place of the one that is embedded later
_BIGTIFF_FROM = 3_500_000_000  # bytes of pixels; offsets in classic TIFF end at 4 GiB
# An upscaled 4 MP photograph, one thread, levels 1 / 2 / 3 / 6: filter "up" gives 5.5 / 3.7 / 3.4 / 3.2 MB in
# 0.05 / 0.08 / 0.10 / 0.31 s; "none" is twice as large, "sub" and "paeth" are larger and slower.
_PNG_LEVEL = 2
_BEST_AVIF = 100
# Encoded in YCbCr, WebP in 8 bits of limited range, flat colors come back up to 5 levels off: without a quality that is
# asked for, pictures drawn in them lose nothing (docs/decisions/0059-flat-colors-lose-nothing.md).
LOSSLESS_IF_FLAT = ("webp", "avif")


def check_writable(format: str, height: int, width: int, depth: int = 8) -> None:
    """Raise `OutputError` if `format` cannot hold a picture of this size and depth (8 or 16), or the package that
    writes it is missing; call before the work.
    """
    _check_format(format)
    foreign_out.check_installed(format)
    if depth not in (8, 16):
        raise OutputError(f"depth must be 8 or 16, got {depth}")
    if height < 1 or width < 1:
        raise OutputError(f"a picture has at least one pixel, got {width} x {height}")
    longest = FORMATS[format].longest_px
    if max(height, width) > longest:
        raise OutputError(
            f"{format} holds at most {longest:,} pixels a side, the result has {width:,} x {height:,}; write "
            f"{'tiff' if format == 'png' else 'png'}, or choose a smaller size"
        )


def writing_notes(picture: Picture, format: str, quality: int | None = None) -> tuple[str, ...]:
    """What `format` cannot hold of this picture, as messages for the user. `encode_picture` logs them as warnings.

    quality: As it is asked for.
    """
    _check_format(format)
    form = FORMATS[format]
    notes: list[str] = []
    if picture.depth > form.bits:
        notes.append(f"16 bits a sample were rounded to {form.bits} for {format}; write png or tiff to keep them")
    if "alpha" not in form.holds and picture.alpha is not None:
        notes.append(f"transparency was blended with white, since {format} has none; write png to keep it")
    if picture.scene is not None and picture.scene.brighter and format not in SCENE_FORMATS:
        notes.append(f"{format} ends at white, and brighter light was cut off; write exr to keep it")
    if quality is None and format == "jpeg" and picture.jpeg is not None and picture.jpeg.quality < _TELL_BELOW:
        notes.append(f"written with quality {picture.jpeg.quality}, as the source; `quality=90` shows no blocks")
    notes += metadata_notes(picture, format)
    return tuple(notes)


def write_picture(
    picture: Picture,
    target: str | os.PathLike[str] | BinaryIO,
    *,
    format: str | None = None,
    quality: int | None = None,
    png_level: int | None = None,
    target_kb: int | None = None,
) -> None:
    """Encode a picture and write it.

    Args:
        picture: What to write.
        target: A path, which is written atomically, or a file open for writing in binary mode.
        format: "png", "jpeg", "webp", "tiff", "avif", or one that another package writes: "heic", "jxl", "jp2", "bmp",
            "tga", "exr", "hdr", and without one "pnm" and "pam". By default from the suffix of the path; an open file
            needs it.
        quality: 1 to 100, for jpeg, webp (default 95), heic (90), avif (80) and jxl (100, which loses nothing). Without
            one, a jpeg has quality and chroma of a source that was one (`Picture.jpeg`), else 95 and full chroma; webp
            and avif lose nothing of a picture that is drawn in flat colors.
        png_level: zlib level, 0 (fast) to 9 (small); 2 by default.
        target_kb: The file has at most this many times 1,000 bytes: the highest quality that gives it is taken, up to
            `quality`. For formats with a quality.

    Raises:
        UsageError: `target_kb` for a format without a quality.
        OutputError: The suffix is unknown, `format` cannot hold the picture, or the target cannot be written.
        ForkedError: The process was forked after its parent had decoded or encoded a picture.
    """
    if not isinstance(target, str | os.PathLike):
        _write_file(picture, target, format, quality, png_level, target_kb)
        return
    target = Path(target)
    if format is None:
        format = WRITABLE_FORMATS.get(target.suffix.lower())
        if format is None:
            suffixes, found = ", ".join(WRITABLE_FORMATS), target.suffix or "none"
            raise OutputError(f"cannot write {target}: expected a suffix of {suffixes}; got {found}")
    check_target(target)
    data = encode_picture(picture, format, quality=quality, png_level=png_level, target_kb=target_kb)
    write_atomic(target, data)


def check_target(target: Path) -> None:
    """Raise `OutputError` for a folder or a device: the rename of an atomic write would replace the latter."""
    try:
        if exists(target) and not is_file(target):
            what = "folder" if is_folder(target) else "pipe or a device"
            raise OutputError(f"cannot write {target}: it is a {what}, expected a file name")
    except OSError as error:  # its folder may no longer be entered
        raise output_error(target, error) from error


def _write_file(
    picture: Picture,
    file: BinaryIO,
    format: str | None,
    quality: int | None,
    png_level: int | None,
    target_kb: int | None,
) -> None:
    if not hasattr(file, "write") or isinstance(file, io.TextIOBase):
        kind = f"{type(file).__module__}.{type(file).__qualname__}"
        raise OutputError(f"expected a path or a file open in binary mode, got {kind}; use io.BytesIO() for bytes")
    if format is None:
        raise OutputError(f"format is needed to write to an open file; expected one of {', '.join(FORMATS)}")
    data = encode_picture(picture, format, quality=quality, png_level=png_level, target_kb=target_kb)
    left = memoryview(data)
    try:
        while left:  # an unbuffered file may accept only a part
            taken = cast("int | None", file.write(left))
            if taken is None:  # a non-blocking raw file is full
                raise BlockingIOError(errno.EAGAIN, "the write would block")
            left = left[taken:]
        file.flush()
    except OSError as error:
        raise output_error(Path(str(getattr(file, "name", "the open file"))), error) from error


def encode_picture(
    picture: Picture,
    format: str,
    *,
    quality: int | None = None,
    png_level: int | None = None,
    target_kb: int | None = None,
) -> bytes:
    """Encode a picture, logging its `writing_notes`. Arguments are those of `write_picture`.

    Raises `OutputError` if `format` cannot hold the picture or a pixel is NaN, and as `write_picture` does.
    """
    height, width = picture.pixels.shape[:2]
    check_writable(format, height, width, picture.depth)
    for note in writing_notes(picture, format, quality if target_kb is None else 1):
        _LOG.warning("%s", note)
    if format in FOREIGN_FORMATS:
        encode = foreign_out.encoder_of(picture, format)
        if target_kb is None:
            return encode(quality)
        check_target_kb(target_kb, format)
        return encode_within(encode, target_kb, quality, format)[0]
    levels = levels_to_write(picture, format)
    flat = quality is None and target_kb is None and format in LOSSLESS_IF_FLAT and is_flat(levels)
    image = wrap(levels)
    if picture.bands is not None and picture.pixels.shape[2] == 1:  # several bands are no RGB
        image = image.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    image = describe(image, picture, format)
    begin_pixels()
    if target_kb is None:
        return encode_image(lambda: image, picture, format, quality, png_level, flat=flat)
    check_target_kb(target_kb, format)
    data, found = encode_within(lambda q: encode_image(lambda: image, picture, format, q), target_kb, quality, format)
    _LOG.info("quality %d: %d bytes", found, len(data))
    return data


def encode_image(
    image: Callable[[], Any],
    frame: Picture,
    format: str,
    quality: int | None,
    png_level: int | None = None,
    *,
    flat: bool = False,
) -> bytes:
    """Encode what `image` returns, an image of libvips that `describe` made, with the metadata of `frame`.

    flat: As for `save_options`.
    """
    operation, options = save_options(frame, format, quality, png_level, flat=flat)
    try:
        data: bytes = attempt(lambda: pyvips.Operation.call(f"{operation}_buffer", image(), **options))
    except VipsError as error:
        height, width = frame.pixels.shape[:2]
        raise OutputError(
            f"cannot encode {width} x {height} pixels as {format}: {error}; choose another format"
        ) from error
    return embed(data, frame, format)


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise OutputError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")


def png_of(levels: Levels, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """Levels h w c (alpha last) as an uncompressed PNG with metadata: what other decoders read, for ours."""
    image = wrap(levels)
    for name, value in (("icc-profile-data", icc), ("xmp-data", xmp)):
        if value:
            image.set_type(pyvips.GValue.blob_type, name, value)
    begin_pixels()
    data: bytes = attempt(lambda: image.pngsave_buffer(compression=0, filter="none", keep="icc:xmp"))
    added = [] if exif is None else [png_chunks.chunk(b"eXIf", exif)]
    return png_chunks.with_chunks(data, added, (b"pHYs",))


def describe(image: Any, picture: Picture, format: str) -> Any:
    """The image with its profile, XMP and resolution."""
    dpi = picture.dpi or (_DPI_UNKNOWN, _DPI_UNKNOWN)
    image = image.copy(yres=dpi[0] / _MM_PER_INCH, xres=dpi[1] / _MM_PER_INCH)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    blob = pyvips.GValue.blob_type
    space = "gray" if picture.pixels.shape[2] == 1 else "RGB"
    if picture.icc is not None and color_space(picture.icc) == space:
        image.set_type(blob, "icc-profile-data", picture.icc)
    if needs_exif_item(picture, format):
        image.set_type(blob, "exif-data", _NO_EXIF)
    if picture.xmp is not None:
        image.set_type(blob, "xmp-data", upright(picture.xmp))
    return image


def save_options(
    picture: Picture, format: str, quality: int | None, png_level: int | None, *, flat: bool = False
) -> tuple[str, dict[str, Any]]:
    """The operation of libvips that encodes `format`, such as "pngsave", and its options.

    flat: Whether it is drawn in flat colors: without a `quality`, formats of `LOSSLESS_IF_FLAT` then lose nothing.
    """
    exact = flat and quality is None and format in LOSSLESS_IF_FLAT
    common: dict[str, Any] = {"keep": "icc:xmp:exif" if needs_exif_item(picture, format) else "icc:xmp"}
    source = picture.jpeg if format == "jpeg" and quality is None else None
    q = quality or (FORMATS[format].quality if source is None else source.quality)
    level = png_level if png_level is not None else _PNG_LEVEL
    if format == "png":
        return "pngsave", {"compression": level, "filter": "up" if level else "none", **common}
    if format == "jpeg":
        subsampled = picture.jpeg is not None and picture.jpeg.subsampled
        return "jpegsave", {"Q": q, "subsample_mode": "on" if subsampled else "off", **common}
    if format == "webp":
        return "webpsave", {**({"lossless": True} if exact else {"Q": q, "smart_subsample": True}), **common}
    if format == "avif":
        bits = 12 if picture.depth == 16 else 8
        if exact and picture.pixels.shape[2] == 1:  # `lossless` would make it RGB; there is no chroma to lose
            q = _BEST_AVIF
        coding = {"lossless": True} if exact and picture.pixels.shape[2] == 3 else {"Q": q, "subsample_mode": "off"}
        return "heifsave", {"compression": "av1", "bitdepth": bits, **coding, **common}
    dtype, channels = levels_type(picture, format)
    size = picture.pixels.shape[0] * picture.pixels.shape[1] * channels * dtype.itemsize
    return "tiffsave", {
        "compression": "deflate",
        "predictor": "horizontal",
        "bigtiff": size > _BIGTIFF_FROM,
        **common,
    }
