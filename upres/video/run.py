"""Upscale a planned video: decoding, the network and encoding overlap; what is done is never done again.

Three threads work at once, with no more than a few frames between them, so memory stays the same however long the video
is. The calling thread only waits, so Ctrl-C takes effect at once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from upres.batch.worker import WorkerThread, result_of
from upres.errors import InputError
from upres.system.text import shown
from upres.upscaling.upscaler import Upscaler
from upres.video.enlarger import FrameEnlarger, Result, decoded
from upres.video.flicker import Flicker
from upres.video.journal import Closed
from upres.video.mux import write_result
from upres.video.opened import Frames
from upres.video.outputs import SegmentOutput, StreamOutput
from upres.video.plan import VideoJob
from upres.video.preview import SideBySide
from upres.video.reader import Counts, SourceFrame
from upres.video.still import LOOK_FRAMES, choose_tilings
from upres.video.yuv import Array

_Decoded = tuple[SourceFrame, Array, Array | None, Counts]  # a frame, its picture, and what was met up to it
_AHEAD = 2  # frames decoded before they are needed, and results that wait for the encoder
_SLOW_MACS_PER_SECOND = 20e9


class Watcher(Protocol):
    """Receives the progress of a run, from one thread at a time."""

    def done(self, frames: float) -> None:
        """So many frames of the whole video are done, those of an earlier run included."""
        ...

    def putting_together(self) -> None:
        """All frames are done; the file is written."""
        ...


@dataclass(slots=True)
class VideoReport:
    """The result of a run.

    frames: In the result, or in its closed segments if the run ended early.
    resumed: Of them, from an earlier run.
    reused: Of them, equal to the frame before, and not computed.
    static: Share of the pixels of the other frames whose tiles had not changed, and were not computed.
    flicker: Flicker relative to that of bicubic interpolation; None if nothing could be measured.
    notes: For the user.
    error: What ended the run; None if the result is complete.
    abandoned: A thread is still inside an engine's call, and the process must not wait for it.
    """

    frames: int = 0
    resumed: int = 0
    reused: int = 0
    static: float = 0.0
    flicker: float | None = None
    notes: list[str] = field(default_factory=list[str])
    error: BaseException | None = None
    abandoned: bool = False


class _Cancelled(Exception):
    """Raised in the network's thread between two tiles when the run is being cancelled."""


def estimate_seconds(job: VideoJob) -> float:
    """About how long the networks take for the frames that are left, if none equals another."""
    video, encoding = job.video, job.encoding
    channels = 1 if video.layout.kind == "gray" else 3
    plan = job.upscaler.plan(video.height, video.width, channels=channels, size=job.request.target_size)
    left = max(0, job.frames - job.journal.frames)
    encoding_s = left * encoding.height * encoding.width * 0.1e-6
    if not plan.macs:
        return encoding_s
    slow = left * plan.macs / _SLOW_MACS_PER_SECOND
    if slow < 30.0:
        return max(slow, encoding_s)
    return max(left * plan.macs / job.upscaler.glance_macs_per_second(plan.workers), encoding_s)


def run_video(job: VideoJob, watcher: Watcher) -> VideoReport:
    """Upscale the video. Never raises: the report says what ended the run.

    Closed segments stay in the folder of the journal, and the next run goes on after them.
    """
    return _Run(job, watcher).run()


class _Run:
    def __init__(self, job: VideoJob, watcher: Watcher) -> None:
        self._job, self._watcher, self._journal = job, watcher, job.journal
        self._report = VideoReport(resumed=job.journal.frames)
        self._cancel = threading.Event()
        self._taken = 0  # frames given to the network in this run
        self._reader = job.source.reader(job.start_pts, job.end_pts, job.journal.place)
        self._flicker = Flicker.of(job.journal.flicker)
        self._counts_before = job.journal.counts

    def run(self) -> VideoReport:
        readers: WorkerThread[_Decoded | None] = WorkerThread("upres-read")
        networks: WorkerThread[Result] = WorkerThread("upres-run")
        writers: WorkerThread[None] = WorkerThread("upres-write")
        report = self._report
        enlarger = None
        try:
            enlarger = self._enlarger(self._job.upscaler)
            self._frames(enlarger, readers, networks, writers)
            if not (self._taken or self._journal.frames):
                raise InputError(f"{shown(self._job.video.path)} has no frames in this part")
            self._watcher.putting_together()
            result_of(writers.submit(self._finish))
        except (Exception, KeyboardInterrupt) as error:  # reported: what is done stays
            report.error = error
        finally:
            self._cancel.set()
            writers.close()
            readers.close(timeout_s=1.0)
            report.abandoned = not networks.close(timeout_s=1.0)
        if self._job.sink is not None:
            report.frames = self._job.sink.count
            report.reused = 0 if enlarger is None else enlarger.reused
        else:
            if report.error is not None and not self._journal.segments:
                self._journal.remove()
            report.frames = self._journal.frames
            report.reused = sum(one.reused for one in self._journal.segments)
        report.flicker = None if self._job.request.preview_s is not None else self._flicker.ratio
        report.notes += _sum(self._counts_before, self._reader.counts).notes
        if enlarger is not None:
            report.static = enlarger.static_share
            report.notes += enlarger.notes
            enlarger.close()
        return report

    def _enlarger(self, upscaler: Upscaler) -> FrameEnlarger | SideBySide:
        job, video = self._job, self._job.video
        enlarger = FrameEnlarger(upscaler, *job.column, self._progress)
        size = (video.height, video.width, 1 if video.layout.kind == "gray" else 3)
        if self._journal.tilings:
            enlarger.use_tilings(*size, self._journal.tilings)
        else:
            self._journal.tilings = self._tilings(upscaler, enlarger.tilings(*size))
            enlarger.use_tilings(*size, self._journal.tilings)
        if job.request.preview_s is None:
            return enlarger
        return SideBySide([enlarger, *(FrameEnlarger(one, *job.column, self._look) for one in job.rivals)], *job.column)

    def _tilings(self, upscaler: Upscaler, own: list[list[int]]) -> list[list[int]]:
        """Those of the network, or smaller ones where much of the video stands still."""
        job = self._job
        if job.source.container is not None or upscaler.options.tile_px is not None:
            return own
        first = list(islice(job.source.reader(job.start_pts, job.end_pts), LOOK_FRAMES))
        return choose_tilings(first, own, upscaler.graph.alignment)

    def _look(self, done: int, total: int) -> None:
        if self._cancel.is_set():
            raise _Cancelled

    def _progress(self, done: int, total: int) -> None:
        if self._cancel.is_set():
            raise _Cancelled
        self._watcher.done(self._report.resumed + self._taken - 1 + done / total)

    def _frames(
        self,
        enlarger: FrameEnlarger | SideBySide,
        readers: WorkerThread[_Decoded | None],
        networks: WorkerThread[Result],
        writers: WorkerThread[None],
    ) -> None:
        """Pass every frame through the three threads."""
        frames = iter(self._reader)
        job = self._job
        straight = job.sink is not None
        output = StreamOutput(job, self._flicker) if straight else SegmentOutput(job, self._flicker, self._close)
        ahead = deque(readers.submit(_next(frames, self._reader)) for _ in range(_AHEAD))
        writing: deque[Future[None]] = deque()
        try:
            while True:
                item = result_of(ahead.popleft())
                if item is None:
                    break
                ahead.append(readers.submit(_next(frames, self._reader)))
                source, pixels, alpha, counts = item
                self._taken += 1
                before = enlarger.reused
                running = networks.submit(lambda: enlarger(source, pixels, alpha))  # noqa: B023  # waited for below
                result = result_of(running)
                reused = enlarger.reused > before
                while len(writing) >= _AHEAD:
                    result_of(writing.popleft())
                writing.append(writers.submit(output.writing(source, pixels, result, counts, reused=reused)))
                del item, pixels, result, running
                self._watcher.done(self._report.resumed + self._taken)
            while writing:
                result_of(writing.popleft())
            result_of(writers.submit(output.end))
        finally:
            result_of(writers.submit(output.drop))

    def _close(self, closed: Closed, counts: Counts) -> None:
        """A segment is on disk; `counts` is what this run has met up to its last frame."""
        self._journal.segments.append(closed)
        self._journal.counts = _sum(self._counts_before, counts)
        self._journal.flicker = self._flicker.sums
        self._journal.save()

    def _finish(self) -> None:
        job = self._job
        if job.target is None:
            return
        video = job.video if job.page is None else replace(job.video, alone=True, matrix=None)  # columns are not turned
        write_result(job.target, self._journal.paths, job.encoding, video, job.window, job.tracks)
        self._journal.remove()


def _next(frames: Iterator[SourceFrame], reader: Frames) -> Callable[[], _Decoded | None]:
    """The work of decoding the next frame."""

    def work() -> _Decoded | None:
        frame = next(frames, None)
        return None if frame is None else (frame, *decoded(frame), replace(reader.counts))

    return work


def _sum(before: Counts, since: Counts) -> Counts:
    names = [one.name for one in fields(Counts) if one.name != "cut_at_s"]
    return Counts(**{name: getattr(before, name) + getattr(since, name) for name in names}, cut_at_s=since.cut_at_s)


def write_part(job: VideoJob) -> Path | None:
    """Write what is done as a file that plays, beside the result. Returns None if nothing is; raises `OutputError`."""
    if job.target is None or not job.journal.frames:
        return None
    end = job.journal.segments[-1].pts + 1
    part = job.target.with_name(f"{job.target.stem}.part{job.target.suffix}")
    window = replace(job.window, end_s=end * job.video.time_base)
    write_result(part, job.journal.paths, job.encoding, job.video, window, job.tracks)
    return part
