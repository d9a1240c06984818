"""Upscale many pictures in a pipeline: read, upscale, write. One bad picture never ends the job.

Three threads work at once: while the network runs on a picture, the next one is decoded and the previous one is
encoded. The calling thread only waits, so Ctrl-C takes effect at once, even during a long call of an engine.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from upres.batch.animated import EncodedAnimation, upscale_animation, write_animation
from upres.batch.by_rows import run_by_rows
from upres.batch.invented_maps import map_note, why_none, write_map
from upres.batch.job import BatchReport, Encoding, Job, Outcome, Watcher
from upres.batch.measured import MeasuredJob
from upres.batch.paths import make_folder
from upres.batch.provenance import stamped
from upres.batch.worker import WorkerThread, result_of
from upres.batch.writing import write_result
from upres.errors import ModelError, OutputError, UpresError
from upres.images.animation import Animation, read_animation
from upres.images.io import Picture, read_picture, with_chroma, writing_notes
from upres.system.files import DISK_FULL, sweep_partials
from upres.system.signals import is_interrupt

_OVERLAP_SHARE = (
    0.25  # a picture is read and written beside another only if its arrays need less than this share of the budget
)

# What a network makes: a picture, an encoded animation, or the notes of a picture that was written by rows.
_Result = Picture | EncodedAnimation | tuple[str, ...]


class _Cancelled(Exception):
    """Raised in the network's thread between two tiles when the run is being cancelled."""


def run_jobs(jobs: Sequence[Job], encoding: Encoding, watcher: Watcher, swept: set[Path] | None = None) -> BatchReport:
    """Run all jobs in order. Never raises for a bad picture.

    jobs: To run.
    encoding: How to write results.
    watcher: Receives progress.
    swept: Folders in which nothing is left of killed runs; those of the jobs are swept and added.

    Stops early, with `stopped_by`, if the disk is full, standard output cannot be written or a model is refused, since
    later pictures would fail too. Ctrl-C stops after the file being written; files are either complete or absent.
    """
    return _Run(jobs, encoding, watcher, set() if swept is None else swept).run()


class _Run:
    def __init__(self, jobs: Sequence[Job], encoding: Encoding, watcher: Watcher, swept: set[Path]) -> None:
        self._jobs, self._encoding, self._watcher, self._swept = jobs, encoding, watcher, swept
        self._report = BatchReport()
        self._cancel = threading.Event()
        self._counted: dict[int, int] = {}
        self._readers: WorkerThread[Picture | Animation | None] = WorkerThread("upres-read")
        self._networks: WorkerThread[tuple[_Result, float]] = WorkerThread("upres-run")
        self._measured: WorkerThread[tuple[tuple[str, ...], float]] = WorkerThread("upres-measured")
        self._writers: WorkerThread[None] = WorkerThread("upres-write")
        self._writing: tuple[Job, float, tuple[str, ...], Future[None]] | None = None

    def run(self) -> BatchReport:
        for folder in {job.target.parent for job in self._jobs if job.target is not None} - self._swept:
            sweep_partials(folder)
            self._swept.add(folder)
        try:
            self._all()
        except KeyboardInterrupt:
            self._report.interrupted = True
        finally:
            self._cancel.set()
            self._settle_writing()
            self._readers.close(timeout_s=1.0)
            self._writers.close()
            threads = self._networks.close(timeout_s=1.0), self._measured.close(timeout_s=1.0)
            self._report.abandoned = not all(threads)
        self._look_again()
        self._report.left = len(self._jobs) - len(self._report.outcomes)
        return self._report

    def _look_again(self) -> None:
        """A result that someone removed meanwhile is not done."""
        for place, outcome in enumerate(self._report.outcomes):
            if outcome.error is None and outcome.target is not None and not os.path.lexists(outcome.target):
                gone = OutputError(f"{outcome.target} was removed while the job ran; run the same command again")
                self._report.outcomes[place] = replace(outcome, notes=(), error=gone)

    def _all(self) -> None:
        ahead = self._read(0)
        for index, job in enumerate(self._jobs):
            reading, ahead = ahead, None
            if job.measured is not None:
                if not self._run_measured(job, job.measured):
                    return
                continue
            if reading is None:
                reading = self._read(index)
            try:
                assert reading is not None
                picture = result_of(reading)
                del reading
                # Do not hold two large pictures in memory: finish writing the previous one first.
                large = job.plan.by_rows or job.plan.array_bytes > _OVERLAP_SHARE * job.upscaler.budget_bytes()
                if large:
                    self._settle_writing()
                else:
                    ahead = self._read(index + 1)
                running = self._networks.submit(self._network_work(job, picture))
                del picture
                result, seconds = result_of(running)
                del running
            except _Cancelled:
                return
            except Exception as error:  # isolation: report any error of one picture and go on with the next
                if is_interrupt(error):
                    raise KeyboardInterrupt from error
                self._settle_writing()  # outcomes keep the order of the jobs
                self._end(job, replace(_outcome(job), error=error))
            else:
                self._settle_writing()
                mapped, words = self._mapped(job)
                if isinstance(result, tuple):  # the notes of a picture that was written by rows
                    self._end(job, replace(_outcome(job), seconds=seconds, notes=job.notes + result + words))
                elif self._report.stopped_by is None:
                    still = isinstance(result, Picture)
                    notes = job.notes + result.notes + (self._losses(result, job) if still else ()) + words
                    work = self._write_work(job, result, mapped)
                    self._writing = (job, seconds, notes, self._writers.submit(work))
                    del work
                del result
            if self._report.stopped_by is not None:
                return
        self._settle_writing()

    def _losses(self, picture: Picture, job: Job) -> tuple[str, ...]:
        return writing_notes(picture, job.format, self._encoding.asked_quality)

    def _run_measured(self, job: Job, measured: MeasuredJob) -> bool:
        """Make a result that reads and writes itself; whether the run goes on."""
        self._settle_writing()  # outcomes keep the order of the jobs

        def work() -> tuple[tuple[str, ...], float]:
            assert job.target is not None
            if self._encoding.c2pa is not None:
                raise OutputError(f"{job.found.name} is measured data, whose result cannot be signed; leave `c2pa` out")
            if self._encoding.target_kb is not None:
                raise OutputError(f"{job.found.name} is measured data, which has no quality; leave `target_kb` out")
            make_folder(job.target.parent)
            return measured.work(job.upscaler, (job.plan.height, job.plan.width), job.target, self._progress(job))

        outcome = _outcome(job)
        _, words = self._mapped(job)
        try:
            notes, seconds = result_of(self._measured.submit(work))
            outcome = replace(outcome, seconds=seconds, notes=(*job.notes, *job.plan.notes, *notes, *words))
        except _Cancelled:
            return False
        except Exception as error:  # isolation, as for pictures
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            outcome = replace(outcome, error=error)
        self._end(job, outcome)
        return self._report.stopped_by is None

    def _progress(self, job: Job) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if self._cancel.is_set():
                raise _Cancelled
            self._count(job, done)

        return progress

    def _read(self, index: int) -> Future[Picture | Animation | None] | None:
        if index >= len(self._jobs) or self._jobs[index].measured is not None:
            return None
        job = self._jobs[index]

        def work() -> Picture | Animation | None:
            if job.target is not None:
                make_folder(job.target.parent)
            if job.plan.by_rows:
                return None  # it is read while it is computed
            if job.frames > 1:
                return read_animation(job.source, max_pixels=self._encoding.max_pixels_in)
            return read_picture(job.source, max_pixels=self._encoding.max_pixels_in)

        return self._readers.submit(work)

    def _network_work(self, job: Job, picture: Picture | Animation | None) -> Callable[[], tuple[_Result, float]]:
        box = [picture]  # emptied by the work, so that the input is freed as soon as possible

        def work() -> tuple[_Result, float]:
            start = time.perf_counter()
            given = box.pop()
            if given is None:
                result: _Result = run_by_rows(job, self._encoding, self._progress(job))
            elif isinstance(given, Animation):
                result = upscale_animation(job, given, self._encoding, self._progress(job))
            else:
                result = job.upscaler(given, size=job.size, progress=self._progress(job))
            return result, time.perf_counter() - start

        return work

    def _mapped(self, job: Job) -> tuple[bool, tuple[str, ...]]:
        """Whether a map is written beside the result, and what is to be said of it."""
        if self._encoding.invented is None:
            return False, ()
        missing = why_none(job)
        return missing is None, (map_note(job) if missing is None else missing,)

    def _write_work(self, job: Job, picture: Picture | EncodedAnimation, mapped: bool) -> Callable[[], None]:
        if isinstance(picture, EncodedAnimation):
            return lambda: write_animation(job, picture, self._encoding)
        encoding = self._encoding
        made = replace(picture, format=job.format, xmp=stamped(picture.xmp, job, encoding))
        box = [with_chroma(made, encoding.chroma)]

        def work() -> None:
            made = box.pop()
            if mapped and encoding.invented is not None:
                write_map(made, encoding.invented, job)  # before the result, which says that nothing is left to do
            write_result(made, job, encoding)

        return work

    def _settle_writing(self) -> None:
        """Wait for the result being written, if any, and record its outcome."""
        if self._writing is None:
            return
        job, seconds, notes, future = self._writing
        outcome = replace(_outcome(job), seconds=seconds, notes=notes)
        try:
            result_of(future)  # Ctrl-C here leaves `_writing` as it is, and `run` waits for the file once more
        except Exception as error:  # isolation, as above
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            outcome = replace(outcome, notes=(), error=error)
        self._writing = None
        self._end(job, outcome)

    def _count(self, job: Job, done: int) -> None:
        before = self._counted.get(id(job), 0)
        self._counted[id(job)] = done
        self._watcher.advanced(done - before)

    def _end(self, job: Job, outcome: Outcome) -> None:
        if outcome.error is None:
            self._count(job, job.plan.pixels)
        else:
            self._watcher.dropped(job.plan.pixels - self._counted.get(id(job), 0))
        self._report.outcomes.append(outcome)
        if outcome.error is not None:
            _forget_locals(outcome.error)
        if outcome.error is not None and _is_final(outcome.error):
            self._report.stopped_by = (
                outcome.error if isinstance(outcome.error, UpresError) else OutputError(str(outcome.error))
            )
        self._watcher.finished(outcome)


def _outcome(job: Job) -> Outcome:
    return Outcome(job.found.name, job.target, job.plan.pixels, model=job.record.get("model"))


def _forget_locals(error: BaseException) -> None:
    """Free the pictures held by the frames of tracebacks, which a report of many failures would keep in memory."""
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def _is_final(error: BaseException) -> bool:
    """Whether every later picture would fail too: disk full, pipe closed, model refused."""
    cause = error.__cause__ if isinstance(error, OutputError) else error
    full = isinstance(cause, OSError) and cause.errno in DISK_FULL
    return full or isinstance(error, ModelError | BrokenPipeError)
