"""A source, opened: a file that can be read again, a pipe that cannot, or numbered pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from av.container import InputContainer
from av.video.frame import VideoFrame

from upres.batch.record import INPUT, make_record
from upres.errors import InputError
from upres.images.io import Picture
from upres.video.reader import Counts, FrameReader, Place, SourceFrame
from upres.video.sequence import SequenceReader, digest_of_files, examine_sequence, is_sequence
from upres.video.source import Video, examine, open_container
from upres.video.yuv import to_rgb

STDIO = "-"


class Frames(Protocol):
    """Iterates over frames; `counts` is what was met so far."""

    counts: Counts

    def __iter__(self) -> Iterator[SourceFrame]: ...


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A video and the way to its frames.

    video: What it holds.
    first: Its first frame, where it is a file or a pipe.
    container: Of a pipe, behind the first frame.
    files: Of numbered pictures.
    """

    video: Video
    first: VideoFrame | None = None
    container: InputContainer | None = None
    files: tuple[Path, ...] = ()

    def reader(self, start_pts: int | None = None, end_pts: int | None = None, after: Place | None = None) -> Frames:
        """The frames of a part, or those after a place in it."""
        if self.files:
            return SequenceReader(self.video, list(self.files), start_pts, end_pts, after)
        return FrameReader(
            self.video, self.container, self.first if self.container else None, start_pts, end_pts, after
        )

    @property
    def digest(self) -> str:
        """Tells sources apart; that of a pipe is always the same."""
        if self.files:
            return digest_of_files(list(self.files))
        return STDIO if self.container is not None else make_record({}, 1, 1, Path(self.video.path))[INPUT]

    def sample(self) -> Picture:
        """A picture from the middle; of a pipe, the first. Raises `InputError` if there is none."""
        video = self.video
        if self.container is not None:
            from upres.video.frames import planes_of

            assert self.first is not None
            pixels, alpha = to_rgb(planes_of(self.first, video.layout), video.coding)
            return Picture(pixels, alpha)
        middle = video.start + round(video.seconds / 2 / float(video.time_base))
        frame = next(iter(self.reader(middle)), None) or next(iter(self.reader()), None)
        if frame is None:
            raise InputError(f"{video.path} has no frame that can be decoded")
        return Picture(*to_rgb(frame.planes, frame.coding))


def open_source(source: str, rate: Fraction | None) -> OpenedSource:
    """Open a video, a pipe or numbered pictures. Raises `InputError`.

    rate: Frames a second of pictures; None: 25.
    """
    if source == STDIO:
        container = open_container(source)
        return OpenedSource(*examine(source, container), container)
    if is_sequence(source):
        video, files = examine_sequence(source, rate)
        return OpenedSource(video, files=tuple(files))
    return OpenedSource(*examine(source))
