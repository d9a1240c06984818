"""Numbered pictures as a video, and a video as numbered pictures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.images.io import CORE_SUFFIXES, READABLE_SUFFIXES, Picture, quantize, read_picture, write_picture
from upres.system.folders import find_files, is_folder
from upres.system.text import shown
from upres.video.frames import layout_of
from upres.video.reader import Counts, Place, SourceFrame, digest_of
from upres.video.source import Hdr, Video
from upres.video.yuv import Array, Coding, Levels, luma

DEFAULT_RATE = Fraction(25)
_NUMBER = re.compile(r"%0?(\d*)d")
_SRGB = (1, 13, 0, 2)  # primaries, transfer, matrix and range of H.273: sRGB


def is_sequence(source: str) -> bool:
    """Whether `source` names numbered pictures: a folder, or a pattern such as "frames/%05d.png"."""
    return is_folder(source) or (_NUMBER.search(Path(source).name) is not None and not Path(source).exists())


def is_pattern(out: str) -> bool:
    """Whether `out` is a pattern for pictures: "frames/%05d.png"."""
    path = Path(out)
    return _NUMBER.search(path.name) is not None and path.suffix.lower() in CORE_SUFFIXES


def find_frames(source: str) -> list[Path]:
    """The pictures of a sequence, in the order of the numbers in their names. Raises `InputError` if there are none."""
    path = Path(source)
    if is_folder(source):
        found = find_files(path, READABLE_SUFFIXES, recursive=False).files
    else:
        start, end = _NUMBER.split(path.name)[0], _NUMBER.split(path.name)[-1]
        wanted = re.compile(re.escape(start) + r"\d+" + re.escape(end))
        found = [one for one in path.parent.glob("*") if wanted.fullmatch(one.name)] if path.parent.is_dir() else []
    if not found:
        raise InputError(f"{shown(source)} has no pictures")

    def number(one: Path) -> tuple[int, str]:
        digits = re.findall(r"\d+", one.stem)
        return (int(digits[-1]) if digits else -1, one.name)

    return sorted(found, key=number)


def examine_sequence(source: str, rate: Fraction | None) -> tuple[Video, list[Path]]:
    """A video of the pictures that `source` names, `rate` a second. Raises `InputError`."""
    files = find_frames(source)
    first = read_picture(files[0])
    height, width, channels = first.pixels.shape
    names = {(1, False): "gray", (3, False): "gbrp", (3, True): "gbrap", (1, True): "gbrap"}
    name = names[channels, first.alpha is not None]
    layout = layout_of(name if first.depth == 8 else f"{name}16le")
    matrix = "gray" if layout.kind == "gray" else "rgb"
    coding = Coding(matrix, True, layout.depth, alpha=layout.alpha)
    speed = rate or DEFAULT_RATE
    notes = (
        *first.notes,
        *((f"{len(files):,} pictures became {DEFAULT_RATE} frames a second",) if rate is None else ()),
    )
    size = sum(one.stat().st_size for one in files)
    video = Video(
        source,
        -1,
        height,
        width,
        layout,
        coding,
        _SRGB,
        1 / speed,
        speed,
        len(files),
        0,
        float(len(files) / speed),
        None,
        None,
        False,
        Hdr(),
        size,
        notes,
        alone=True,
    )
    return video, files


def digest_of_files(files: list[Path]) -> str:
    """Tells sequences apart by the names and sizes of their files."""
    text = "\n".join(f"{one.name} {one.stat().st_size}" for one in files)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def planes_of_picture(picture: Picture, coding: Coding) -> list[Levels]:
    """The planes G, B, R (and alpha), or the gray one, of a picture."""
    depth = 8 if coding.depth == 8 else 16
    pixels = picture.pixels
    if coding.matrix == "gray" and pixels.shape[2] == 3:
        pixels = luma(pixels)
    levels: Any = quantize(pixels, depth)
    if coding.matrix == "gray":
        order: tuple[int, ...] = (0,)
    else:
        order = (1, 2, 0) if levels.shape[2] == 3 else (0, 0, 0)
    planes: list[Levels] = [np.ascontiguousarray(levels[:, :, channel]) for channel in order]
    if coding.alpha:
        whole = np.ones(levels.shape[:2], np.float32) if picture.alpha is None else picture.alpha
        planes.append(quantize(whole, depth))
    return planes


@dataclass(slots=True)
class SequenceReader:
    """Iterates over the frames of a sequence, as `FrameReader` does over those of a file.

    A picture that cannot be read is replaced by the one before it, and counted.
    """

    video: Video
    files: list[Path]
    start_pts: int | None = None
    end_pts: int | None = None
    after: Place | None = None
    counts: Counts = field(default_factory=Counts)

    def __iter__(self) -> Iterator[SourceFrame]:
        before: SourceFrame | None = None
        number = 0
        for pts, path in enumerate(self.files):
            if (self.start_pts is not None and pts < self.start_pts) or (
                self.end_pts is not None and pts >= self.end_pts
            ):
                continue
            number += 1
            if self.after is not None and number < self.after.count:
                continue
            frame = self._read(pts, path, before)
            before = frame
            if self.after is not None and number == self.after.count:
                if frame.digest != self.after.digest:
                    raise InputError(
                        f"{shown(path)} is another picture than when the job began; use `overwrite=True` to start again"
                    )
                self.counts = Counts()
                continue
            yield frame

    def _read(self, pts: int, path: Path, before: SourceFrame | None) -> SourceFrame:
        try:
            picture = read_picture(path)
        except UpresError:
            if before is None:
                raise
            self.counts.repeated += 1
            return SourceFrame(pts, 1, before.planes, before.coding, before.digest)
        planes = planes_of_picture(picture, self.video.coding)
        if planes[0].shape != (self.video.height, self.video.width):
            self.counts.resized += 1
        return SourceFrame(pts, 1, planes, self.video.coding, digest_of(planes))


@dataclass(slots=True)
class PictureSink:
    """Writes frames as numbered pictures.

    pattern: "frames/%05d.png": the number of a frame, from 1, stands where the pattern says.
    depth: Bits a sample, 8 or 16.
    overwrite: Replace pictures that exist.
    """

    pattern: str
    depth: int
    overwrite: bool
    count: int = 0

    def __post_init__(self) -> None:
        if len(_NUMBER.findall(Path(self.pattern).name)) != 1:
            raise UsageError(f"`out={shown(self.pattern)}` must have one number, such as frames/%05d.png")

    def check(self) -> None:
        """Make the folder. Raises `OutputError` if pictures of the pattern exist and may not be replaced."""
        first = self.path(1)
        if first.exists() and not self.overwrite:
            raise OutputError(f"{shown(first)} exists; choose another `out`, or replace it with `overwrite=True`")
        try:
            first.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {shown(first.parent)}: {error.strerror or error}") from error

    def path(self, number: int) -> Path:
        """The file of a frame."""
        whole = Path(self.pattern)
        name = _NUMBER.sub(lambda match: f"{number:0{int(match[1] or 0)}d}", whole.name)
        return whole.with_name(name)

    def add(self, pixels: Array, alpha: Array | None) -> None:
        """The next frame. Raises `OutputError`."""
        self.count += 1
        write_picture(Picture(pixels, alpha, self.depth), self.path(self.count))

    def close(self) -> None:
        """Each picture is complete already."""
