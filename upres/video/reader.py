"""The frames of a video in the order they are shown, each with its time stamp; none is dropped without a word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av.error
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from upres.errors import InputError
from upres.system.text import shown
from upres.video.deinterlace import Deinterlacer
from upres.video.frames import coding_of, layout_of, planes_of
from upres.video.source import Video, open_container
from upres.video.yuv import Coding, Levels

_END_TOLERANCE_S = 1.0  # a video may end so much before its file says, as audio is often longer


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A frame as decoded.

    pts: Time stamp, in units of the video's time base.
    duration: In the same units; 0 if unknown.
    planes: Levels of each plane.
    coding: Of their colors.
    digest: Of the planes: equal frames have equal digests.
    """

    pts: int
    duration: int
    planes: list[Levels]
    coding: Coding
    digest: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where to go on: after `count` frames, of which the last has this time stamp and digest."""

    count: int
    pts: int
    digest: str


@dataclass(slots=True)
class Counts:
    """What was met while reading.

    repeated: Frames that could not be decoded; the frame before was repeated.
    damaged: Frames that the decoder marked as damaged, and concealed as well as it could.
    moved: Frames without a time stamp, or with one not after that of the frame before; they got one.
    interlaced: Frames that were deinterlaced.
    resized: Frames of another size than the first.
    cut_at_s: Where the file ends before its time; None if it does not.
    """

    repeated: int = 0
    damaged: int = 0
    moved: int = 0
    interlaced: int = 0
    resized: int = 0
    cut_at_s: float | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """For the user."""
        texts = (
            (
                self.repeated,
                "could not be decoded; the frame before was shown again, so sound and picture stay together",
            ),
            (self.damaged, "are damaged in the file and were shown as the decoder mended them"),
            (self.moved, "had no time stamp, or one not after the frame before, and got one"),
            (self.interlaced, "were interlaced and have been deinterlaced (bwdif)"),
            (self.resized, "have another size than the first, and were fitted to it"),
        )
        found = [f"{count} frame{'s' if count > 1 else ''} {text}" for count, text in texts if count]
        if self.cut_at_s is not None:
            found.append(
                f"the video ends at {self.cut_at_s:.1f} s, before its file says: the file may have been cut off"
            )
        return tuple(found)


@dataclass(slots=True)
class FrameReader:
    """Iterates over the frames of `video`.

    video: What `examine` found.
    container: At its beginning, for standard input, which cannot be opened again; None opens the file.
    first: The frame that `examine` took from `container`.
    start_pts, end_pts: Only frames with start_pts <= pts < end_pts; None is no limit.
    after: Go on after this frame, which an earlier reader has returned.

    Raises `InputError` while iterating if `after` is not found: the file has changed.
    """

    video: Video
    container: InputContainer | None = None
    first: VideoFrame | None = None
    start_pts: int | None = None
    end_pts: int | None = None
    after: Place | None = None
    counts: Counts = field(default_factory=Counts)
    _last_pts: int | None = None

    def __iter__(self) -> Iterator[SourceFrame]:
        if self.after is None:
            yield from self._frames(self.start_pts)
            return
        for seek in (True, False):
            self.counts = Counts()
            found = self._frames(self.after.pts if seek else self.start_pts)
            if self._skip(found, seek=seek):
                self.counts = Counts()
                yield from found
                return
        raise InputError(
            f"{shown(self.video.path)} has other frames than when the job began; to start again, use `overwrite=True`"
        )

    def _skip(self, frames: Iterator[SourceFrame], *, seek: bool) -> bool:
        """Take frames up to `after`; whether it was found. After a seek its time decides, else its number."""
        assert self.after is not None
        for number, frame in enumerate(frames, 1):
            if (frame.pts == self.after.pts) if seek else (number == self.after.count):
                return frame.digest == self.after.digest and frame.pts == self.after.pts
            if seek and frame.pts > self.after.pts:
                return False
        return False

    def _frames(self, from_pts: int | None) -> Iterator[SourceFrame]:
        """Frames from `from_pts` on, or some before it: where the decoder can begin."""
        self._last_pts = None
        before: SourceFrame | None = None
        for frame, repeated in self._decoded(from_pts):
            if repeated and before is None:
                continue  # nothing to repeat yet
            if repeated:
                assert before is not None
                result = SourceFrame(self._stamp(frame), before.duration, before.planes, before.coding, before.digest)
                self.counts.repeated += 1
            else:
                result = self._converted(frame)
            before = result
            if self.end_pts is not None and result.pts >= self.end_pts:
                return
            if self.start_pts is None or result.pts >= self.start_pts:
                yield result
        if before is not None and self.end_pts is None:
            self._look_at_end(before)

    def _look_at_end(self, last: SourceFrame) -> None:
        end = float((last.pts + last.duration - self.video.start) * self.video.time_base)
        if self.video.seconds and end < self.video.seconds - _END_TOLERANCE_S:
            self.counts.cut_at_s = end

    def _converted(self, frame: VideoFrame) -> SourceFrame:
        layout = layout_of(frame.format.name)
        video = self.video
        planes = planes_of(frame, layout)
        jpeg = frame.format.name.startswith("yuvj")
        matrix, color_range = frame.colorspace, frame.color_range
        coding = coding_of(layout, matrix, color_range, video.coding.siting, video.height, jpeg=jpeg)
        if (frame.height, frame.width) != (video.height, video.width):
            self.counts.resized += 1
        self.counts.damaged += frame.is_corrupt
        pts = self._stamp(frame.pts)
        return SourceFrame(pts, frame.duration or 0, planes, coding, digest_of(planes))

    def _stamp(self, pts: int | None) -> int:
        """A time stamp after the last one."""
        last = self._last_pts
        if pts is None or (last is not None and pts <= last):
            step = max(1, round(1 / (self.video.rate * self.video.time_base)))
            late = last is not None and pts is not None
            pts = self.video.start if last is None else last + (1 if late else step)
            self.counts.moved += 1
        self._last_pts = pts
        return pts

    def _decoded(self, from_pts: int | None) -> Iterator[tuple[Any, bool]]:
        """(frame, False), or (time stamp, True) for a frame that could not be decoded."""
        container = self.container or open_container(self.video.path)
        try:
            stream = container.streams[self.video.index]
            assert isinstance(stream, VideoStream)
            if self.container is None:
                stream.thread_type = "AUTO"  # pyright: ignore[reportAttributeAccessIssue]  # its setter takes strings
                if from_pts is not None and from_pts > self.video.start:
                    _seek(container, stream, from_pts)
            smooth = Deinterlacer(self.video.time_base)
            for item, repeated in _decode(container, stream, self.first):
                if repeated:
                    yield from ((frame, False) for frame in smooth.drain())
                    yield item, True
                    continue
                self.counts.interlaced += item.interlaced_frame
                yield from ((frame, False) for frame in smooth.push(item))
            yield from ((frame, False) for frame in smooth.drain())
        finally:
            if self.container is None:
                container.close()


def digest_of(planes: list[Levels]) -> str:
    """Equal for equal planes."""
    digest = hashlib.blake2b(digest_size=16)
    for plane in planes:
        digest.update(plane.shape.__repr__().encode())
        digest.update(plane.data)
    return digest.hexdigest()


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> None:
    try:
        container.seek(pts, stream=stream, backward=True)
    except FFmpegError:  # formats that cannot seek are read from the beginning
        container.seek(0)


def _decode(container: InputContainer, stream: VideoStream, first: VideoFrame | None) -> Iterator[tuple[Any, bool]]:
    """(frame, False), and (time stamp, True) in its place for each frame that failed.

    A decoder that works on several frames at once reports a failure late. So once one has failed, the time stamps of
    the packets tell which frames did not come.
    """
    if first is not None:
        yield first, False
    waiting: list[int] = []  # time stamps of packets whose frames have not come
    failed = False
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            failed, packet = True, None
        if packet is None:
            break
        if packet.pts is not None and not packet.is_discard and packet.size:
            waiting.append(packet.pts)
        try:
            frames = packet.decode()
        except av.error.EOFError:
            frames = []
        except FFmpegError:
            failed, frames = True, []
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            late = sorted(pts for pts in waiting if frame.pts is not None and pts < frame.pts)
            waiting = [pts for pts in waiting if frame.pts is None or pts > frame.pts]
            if failed:
                yield from ((pts, True) for pts in late)
            yield frame, False
            failed = failed and bool(waiting)
    if failed:
        yield from ((pts, True) for pts in sorted(waiting))
