"""Where upscaled frames go: into segments that survive a crash, or straight on."""

from __future__ import annotations

from collections.abc import Callable

from upres.video.enlarger import Result, encoded
from upres.video.flicker import Flicker
from upres.video.frames import frame_of
from upres.video.journal import Closed
from upres.video.plan import VideoJob
from upres.video.reader import Counts, SourceFrame
from upres.video.request import SEGMENT_FRAMES
from upres.video.segments import SegmentWriter
from upres.video.sequence import PictureSink
from upres.video.steady import Steady
from upres.video.yuv import Array

Work = Callable[[], None]


def steady_of(job: VideoJob) -> Steady | None:
    """What calms the results, if the request asks for it."""
    return Steady(job.request.steady) if job.request.steady else None


class SegmentOutput:
    """Receives the results of frames in order, and writes segments of as many as the request says."""

    def __init__(self, job: VideoJob, flicker: Flicker, close: Callable[[Closed, Counts], None]) -> None:
        self._job, self._flicker, self._close = job, flicker, close
        self._writer: SegmentWriter | None = None
        self._count = self._reused = 0
        self._last: SourceFrame | None = None
        self._counts = Counts()
        self._steady = steady_of(job)

    def writing(
        self, source: SourceFrame, pixels: Array, result: Result, counts: Counts, *, reused: bool
    ) -> Callable[[], None]:
        """The work of writing a frame."""

        def work() -> None:
            job = self._job
            if self._writer is None:
                number = len(job.journal.segments)
                self._writer = SegmentWriter(job.journal.segment_path(number), job.encoding)
                self._count = self._reused = 0
                self._flicker.begin()
                if self._steady is not None:
                    self._steady.begin()
            calm = result if self._steady is None else self._steady(pixels, result)
            self._flicker.add(pixels, calm.pixels)
            frame = frame_of(encoded(calm, job.coding), job.encoding.layout)
            self._writer.add(frame, source.pts, source.duration)
            self._last, self._counts = source, counts
            self._count += 1
            self._reused += reused
            if self._count == job.request.segment_frames:
                self.end()

        return work

    def end(self) -> None:
        """Close the segment under way."""
        if self._writer is None:
            return
        assert self._last is not None
        number = len(self._job.journal.segments)
        with self._writer:
            sha256 = self._writer.close()
        self._writer = None
        size = self._job.journal.segment_path(number).stat().st_size
        self._close(Closed(self._count, self._last.pts, self._last.digest, sha256, size, self._reused), self._counts)

    def drop(self) -> None:
        """Remove the segment under way, if any."""
        if self._writer is not None:
            with self._writer:
                pass
            self._writer = None


class StreamOutput:
    """Gives the results of frames in order to the sink of a job."""

    def __init__(self, job: VideoJob, flicker: Flicker) -> None:
        assert job.sink is not None
        self._sink, self._coding, self._flicker = job.sink, job.coding, flicker
        self._count = 0
        self._steady = steady_of(job)

    def writing(
        self, source: SourceFrame, pixels: Array, result: Result, counts: Counts, *, reused: bool
    ) -> Callable[[], None]:
        """The work of writing a frame."""

        def work() -> None:
            if self._count % SEGMENT_FRAMES == 0:
                self._flicker.begin()
                if self._steady is not None:
                    self._steady.begin()
            self._count += 1
            calm = result if self._steady is None else self._steady(pixels, result)
            self._flicker.add(pixels, calm.pixels)
            if isinstance(self._sink, PictureSink):
                self._sink.add(calm.pixels, calm.alpha)
            else:
                self._sink.add(encoded(calm, self._coding))

        return work

    def end(self) -> None:
        """All frames are written."""
        self._sink.close()

    def drop(self) -> None:
        """Nothing is half done."""
