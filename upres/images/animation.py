"""Animated pictures: GIF, WebP, PNG and AVIF. Each frame is what is shown, whatever the file stores of it.

libvips composes the frames of GIF and WebP; those of PNG are composed in `apng`; those of AVIF are whole
(`avif_sequence`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyvips is untyped; this module annotates what it returns.

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upres.errors import InputError, OutputError
from upres.images import apng, avif_sequence, exif
from upres.images.avif_boxes import read_boxes
from upres.images.embed import embed
from upres.images.icc import Levels, unwrap, wrap
from upres.images.isolation import isolatable
from upres.images.picture import Picture
from upres.images.png_chunks import read_chunks
from upres.images.read import read_picture
from upres.images.source import identify
from upres.images.vips import VipsError, attempt, begin_pixels, load, pyvips
from upres.images.write import encode_picture
from upres.images.xmp import upright

ANIMATED_FORMATS = {".gif": "gif", ".webp": "webp", ".png": "png", ".apng": "png", ".avif": "avif"}
_LONGEST_PX = {"gif": 65_535, "webp": 16_383, "png": 1_000_000, "avif": 16_384}
_QUALITY = {"webp": 95, "avif": 80}
_TAIL_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Animation:
    """A decoded animation.

    Args:
        first: The first frame, with the metadata of the file.
        frames: Levels of each frame, h w c, alpha last.
        delays_ms: How long each frame is shown.
        plays: How often the animation is shown; 0 is for ever.
    """

    first: Picture
    frames: tuple[Levels, ...]
    delays_ms: tuple[int, ...]
    plays: int

    def picture(self, index: int) -> Picture:
        """A frame, with the metadata of the file."""
        frame = read_picture(_png(self.frames[index], self.first.icc))
        return replace(self.first, pixels=frame.pixels, alpha=frame.alpha)


@isolatable(int)
def count_frames(source: Path | bytes) -> int:
    """How many frames a picture has, without decoding them; 1 for an AVIF without Pillow, which reads them.

    Raises `InputError` as `read_header` does.
    """
    found = identify(source)
    if found.format == "png":
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return max(1, read_chunks(file).frames)
    if found.format == "avif":
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            frames = read_boxes(file).frames
        return frames if frames > 1 and avif_sequence.is_available() else 1
    if found.format not in ("gif", "webp"):
        return 1
    try:
        image = attempt(lambda: load(found.data, f"{found.format}load", "error"))
    except VipsError as error:
        raise InputError(f"{found.name} is damaged ({error}); copy or download it again") from error
    return int(image.get("n-pages")) if image.get_typeof("n-pages") else 1


@isolatable(Animation)
def read_animation(source: Path | bytes, *, max_pixels: int = 1_000_000_000) -> Animation:
    """Decode an animation.

    Raises `InputError` if it is damaged, or all its frames together have more than `max_pixels`.
    """
    first = read_picture(source, max_pixels=max_pixels)
    count = count_frames(source)
    height, width = first.pixels.shape[:2]
    found = identify(source)
    if count * height * width > max_pixels:
        raise InputError(
            f"{found.name} has {count:,} frames of {width} x {height}, more than the limit of {max_pixels:,} pixels; "
            "use upres video, which holds few frames at a time"
        )
    first = replace(first, notes=tuple(note for note in first.notes if not note.startswith("only the first of")))
    if found.format == "png":
        data = source if isinstance(source, bytes) else source.read_bytes()
        frames, delays, plays = apng.read_frames(data, _still, found.name)
        return Animation(first, tuple(frames), tuple(delays), plays)
    if found.format == "avif":
        data = source if isinstance(source, bytes) else source.read_bytes()
        frames, delays, plays, bits = avif_sequence.read_frames(data, found.name)
        if bits > 8:
            first = replace(first, depth=8, notes=(*first.notes, f"its {bits} bits were read as 8"))
        return Animation(first, tuple(frames), tuple(delays), plays)
    try:
        image = attempt(lambda: load(found.data, f"{found.format}load", "error", n=-1))
        levels = attempt(lambda: unwrap(load(found.data, f"{found.format}load", "error", n=-1)))
    except VipsError as error:
        raise InputError(f"{found.name} is damaged or cut off ({error}); copy or download it again") from error
    if found.format == "gif" and not _has_end(found.data):
        note = f"the GIF has no end: it may be cut off; the {len(levels) // height} frames that it has were read"
        first = replace(first, notes=(*first.notes, note))
    frames = [levels[top : top + height] for top in range(0, len(levels), height)]
    delays = list(image.get("delay")) if image.get_typeof("delay") else [100] * count
    delays = (delays + delays[-1:] * count)[: len(frames)]
    plays = int(image.get("loop")) if image.get_typeof("loop") else 1
    return Animation(first, tuple(frames), tuple(int(delay) for delay in delays), plays)


def _has_end(data: Path | bytes) -> bool:
    """Whether a GIF ends with its trailer, and nothing but zeros behind it."""
    tail = data[-_TAIL_BYTES:] if isinstance(data, bytes) else data.read_bytes()[-_TAIL_BYTES:]
    return tail.rstrip(b"\0").endswith(b";")


def _still(data: bytes) -> Levels:
    try:
        return attempt(lambda: unwrap(load(data, "pngload", "error")))
    except VipsError as error:
        raise InputError(f"a frame of the animated PNG is damaged ({error}); download it again") from error


def _png(levels: Levels, icc: bytes | None) -> bytes:
    image = wrap(levels)
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    begin_pixels()
    return attempt(lambda: image.pngsave_buffer(compression=0, keep="icc"))


def check_animated(format: str, height: int, width: int) -> None:
    """Raise `OutputError` if `format` cannot hold an animation of this size."""
    if format not in _LONGEST_PX:
        raise OutputError(f"{format} holds no animation; write one of gif, webp, png and avif")
    if max(height, width) > _LONGEST_PX[format]:
        raise OutputError(
            f"{format} holds at most {_LONGEST_PX[format]:,} pixels a side, the result has {width:,} x {height:,}; "
            "write png, or choose a smaller size"
        )


@dataclass(slots=True)
class AnimationWriter:
    """Collects frames, compressed, and makes a file of them.

    Args:
        format: "gif", "webp", "png" or "avif".
        plays: How often the animation is shown; 0 is for ever.
        quality: Of WebP and AVIF, 1 to 100; None: 95 and 80.
        png_level: Of PNG, 0 to 9.
    """

    format: str
    plays: int
    quality: int | None = None
    png_level: int | None = None
    _stills: list[bytes] | None = None
    _delays_ms: list[int] | None = None
    _first: Picture | None = None

    def add(self, picture: Picture, delay_ms: int) -> None:
        """The next frame, of the size of the first. Raises `OutputError` as `encode_picture` does."""
        if self._stills is None or self._delays_ms is None:
            self._stills, self._delays_ms, self._first = [], [], picture
        if self.format != "png":
            picture = replace(picture, depth=8)
        elif self._stills:
            picture = Picture(picture.pixels, picture.alpha, picture.depth, picture.icc)
        level = self.png_level if self.format == "png" else 1
        self._stills.append(encode_picture(picture, "png", png_level=level))
        self._delays_ms.append(delay_ms)

    def finish(self) -> bytes:
        """The file. Raises `OutputError` if the encoder fails."""
        assert self._stills is not None and self._delays_ms is not None and self._first is not None
        if self.format == "png":
            return apng.joined(self._stills, self._delays_ms, self.plays)
        if self.format == "avif":
            return self._avif()
        stills, delays, first = self._stills, self._delays_ms, self._first
        begin_pixels()
        try:
            data = attempt(lambda: self._save(stills, delays, first))
        except VipsError as error:
            raise OutputError(f"cannot encode the animation as {self.format}: {error}; write png") from error
        return embed(data, first, "webp") if self.format == "webp" else data

    def _avif(self) -> bytes:
        assert self._stills is not None and self._delays_ms is not None and self._first is not None
        first = self._first
        block = None
        if first.exif is not None:
            height, width = first.pixels.shape[:2]
            block = exif.made_true(first.exif, height, width, first.dpi)
        elif first.dpi is not None:
            block = exif.of_resolution(first.dpi)
        return avif_sequence.joined(
            [_still(one) for one in self._stills],
            self._delays_ms,
            self.plays,
            quality=_QUALITY["avif"] if self.quality is None else self.quality,
            icc=first.icc,
            exif=block,
            xmp=None if first.xmp is None else upright(first.xmp),
        )

    def _save(self, stills: Sequence[bytes], delays: Sequence[int], first: Picture) -> bytes:
        pages = [load(still, "pngload", "error") for still in stills]
        strip: Any = pyvips.Image.arrayjoin(pages, across=1)
        strip = strip.copy()
        strip.set_type(pyvips.GValue.gint_type, "page-height", pages[0].height)
        strip.set_type(pyvips.GValue.array_int_type, "delay", list(delays))
        strip.set_type(pyvips.GValue.gint_type, "loop", self.plays)
        if self.format == "gif":
            return strip.gifsave_buffer(keep="none", dither=0.0, effort=7)
        if first.xmp is not None:
            strip.set_type(pyvips.GValue.blob_type, "xmp-data", upright(first.xmp))
        quality = _QUALITY["webp"] if self.quality is None else self.quality
        return strip.webpsave_buffer(Q=quality, smart_subsample=True, keep="icc:xmp")


def encode_animation(pictures: Sequence[Picture], delays_ms: Sequence[int], plays: int, format: str) -> bytes:
    """A file of these frames. Raises `OutputError`."""
    check_animated(format, *pictures[0].pixels.shape[:2])
    writer = AnimationWriter(format, plays)
    for picture, delay_ms in zip(pictures, delays_ms, strict=True):
        writer.add(picture, delay_ms)
    return writer.finish()
