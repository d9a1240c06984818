"""Run a request of `upres video`, with progress, messages and the exit code."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from pathlib import Path

from upres.cli.download import have_models
from upres.cli.engine_options import tell_measurements, words_for_engine
from upres.cli.errors import DONE, exit_code_of, say, words_for
from upres.cli.job_words import TELL_FROM_S
from upres.cli.progress import JobProgress, counted
from upres.cli.streams import put
from upres.errors import UpresError
from upres.system import signals
from upres.system.text import shown, words_for_bytes, words_for_estimate, words_for_seconds
from upres.video.plan import VideoJob, disk_note, prepare
from upres.video.request import VideoRequest
from upres.video.run import VideoReport, estimate_seconds, run_video, write_part

_FLICKER_TOLD = 1.0  # times bicubic's: above, a warning


class _Display:
    """A `video.run.Watcher` that shows frames."""

    def __init__(self, job: VideoJob, estimate_s: float) -> None:
        self._first, self._job = (
            job.journal.frames,
            JobProgress(
                "upscaling", float(job.frames - job.journal.frames) or None, self._amount, estimate_s=estimate_s
            ),
        )
        self._total = job.frames

    def _amount(self, done: float, total: float | None) -> str:
        whole = counted("frames")
        return whole(done + self._first, None if total is None else float(self._total))

    def done(self, frames: float) -> None:
        done = frames - self._first
        total = self._job.total
        self._job.update(done, None if total is None or done <= total else done)

    def putting_together(self) -> None:
        self._job.begin("putting the file together", None)

    def __enter__(self) -> _Display:
        self._job.__enter__()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self._job.__exit__(*exit_info)


def run_request(request: VideoRequest, debug: bool) -> int:
    """Upscale a video and return the exit code."""
    logging.getLogger("upres").addHandler(logging.NullHandler())  # the notes of the report say what the library logs
    tell_measurements()
    if request.model is not None:
        from upres.models.expression import parse

        asked = [parse(name) for name in (request.model, *request.against)]
        have_models(part.model for composition in asked for stage in composition.stages for part in stage)
    job = prepare(request)
    try:
        return _run(job, debug)
    finally:
        job.journal.release()


def _run(job: VideoJob, debug: bool) -> int:
    for note in job.notes:
        say(f"note: {note}")
    if job.choice is not None:
        also = f" (another: -n {job.choice.other})" if job.choice.other else ""
        say(f"{job.choice.reason}: {job.choice.name}{also}")
    estimate_s = estimate_seconds(job)
    _tell_start(job, estimate_s)
    start = time.monotonic()
    with _Display(job, estimate_s) as display:
        report = run_video(job, display)
    _tell_end(job, report, time.monotonic() - start)
    code = DONE
    if report.error is not None:
        code = _tell_error(job, report, debug)
    if report.abandoned:
        # A thread is still inside an engine's call, and a normal exit would free the engine under it.
        sys.stderr.flush()
        os._exit(code)
    for upscaler in (job.upscaler, *job.rivals):
        upscaler.close()
    if job.page is not None and report.error is None:
        _write_page(job, job.page)
    return code


def _write_page(job: VideoJob, page: Path) -> None:
    """Make the page of a preview of its video."""
    from upres.comparison.video_page import ColumnsVideo, write_video_page
    from upres.video.columns import frame_times
    from upres.video.preview import GAP_PX

    assert job.target is not None
    encoding = job.encoding
    whole = (encoding.height, encoding.width)
    columns = ColumnsVideo(job.labels, *job.column, whole, GAP_PX, frame_times(job.target), bicubic=True)
    try:
        written = write_video_page(page, Path(job.request.source).name, columns, job.target)
    finally:
        job.target.unlink(missing_ok=True)
    for path in written:
        put(str(path))


def _tell_start(job: VideoJob, estimate_s: float) -> None:
    video, encoding = job.video, job.encoding
    if job.journal.frames:
        of = f" of about {job.frames:,}" if job.frames else ""
        say(f"going on after {job.journal.frames:,}{of} frames, which are done")
    if estimate_s > TELL_FROM_S:
        size = f"{video.width} x {video.height} -> {encoding.width} x {encoding.height}"
        frames = f"about {job.frames:,} frames" if job.frames else "an unknown number of frames"
        took = f"about {words_for_estimate(estimate_s)} with {words_for_engine(job.upscaler.runner)}"
        disk = f", about {words_for_bytes(job.disk_bytes, unit=1000)}" if job.disk_bytes else ""
        say(f"{size}, {frames}: {took}{disk}")
    if note := disk_note(job):
        say(f"note: {note}")


def _tell_end(job: VideoJob, report: VideoReport, seconds: float) -> None:
    for note in dict.fromkeys(report.notes):
        say(f"note: {note}")
    if report.error is not None:
        return
    encoding = job.encoding
    computed = report.frames - report.resumed
    speed = f", {computed / seconds:.2g} frames a second" if computed and seconds > 0.0 else ""
    say(
        f"{shown(job.page or job.name)}: {encoding.width} x {encoding.height}, {report.frames:,} frames in "
        f"{words_for_seconds(seconds)}{speed} with {words_for_engine(job.upscaler.runner)}"
    )
    if report.reused or report.static >= 0.005:
        say(
            f"not computed again: {report.reused:,} frames equal to the one before, and {report.static:.0%} of the "
            "others' area, which had not changed"
        )
    if report.flicker is not None:
        worse = report.flicker > _FLICKER_TOLD
        calmer = "" if job.request.steady else "; --steady 0.5 calms it"
        warning = f"; it flickers more than its source enlarged by interpolation would{calmer}" if worse else ""
        say(f"{'warning: ' if worse else ''}flicker along motion: {report.flicker:.2f} times that of bicubic{warning}")


def _tell_error(job: VideoJob, report: VideoReport, debug: bool) -> int:
    """Say what ended the run, write what is done as a file that plays, and say how to go on."""
    error = report.error
    assert error is not None
    if debug:
        traceback.print_exception(error)
    cause = KeyboardInterrupt() if signals.is_interrupt(error) else error
    say(words_for(cause))
    code = exit_code_of(cause)
    frames = report.frames
    if job.sink is not None:
        return code
    if not frames:
        say("nothing is finished yet: run the same command again to start again")
        return code
    if isinstance(cause, KeyboardInterrupt):
        try:
            part = write_part(job)
        except UpresError as failure:
            say(words_for(failure))
        else:
            if part is not None:
                say(f"{shown(part)}: the {frames:,} frames that are finished, to look at")
    say(f"{frames:,} frames are finished and kept: run the same command again to go on")
    return code
