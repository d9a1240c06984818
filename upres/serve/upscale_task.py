"""Upscale one picture for a client: read, run, write. The result is written beside the next picture's work."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from upres.batch.animated import EncodedAnimation, upscale_animation, write_animation
from upres.batch.by_rows import run_by_rows
from upres.batch.job import Encoding, Job
from upres.batch.provenance import stamped
from upres.batch.writing import write_result
from upres.errors import OutOfMemoryError
from upres.images.animation import read_animation
from upres.images.io import Picture, read_picture, writing_notes
from upres.serve.open_models import OpenModels
from upres.serve.parameters import Parameters, read_parameters
from upres.serve.work_plan import Facts, Found, WorkPlanner, facts_of
from upres.system.files import sha256_of
from upres.upscaling.options import UpscaleOptions
from upres.upscaling.plan import Plan
from upres.upscaling.tiled_run import Progress, watched

_PROGRESS_S = 0.2  # between two answers
_OVERLAP_SHARE = 0.25  # of the memory: the arrays of a result that is written while the next picture runs
_SHORT = "memory was short: the work was done in small tiles"
_Result = Picture | EncodedAnimation | tuple[str, ...]  # the notes of what was written by rows


class Tell(Protocol):
    def __call__(self, **facts: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Writing:
    """What is left to do of a task once its network has run.

    work: Writes the result; its return value is the task's answer.
    overlaps: The next picture may run meanwhile.
    """

    work: Callable[[], Facts]
    overlaps: bool


class UpscaleTask:
    """One task of a client.

    task: Its source, target and parameters.
    planner, models: Of this process.
    max_pixels: Of the input.
    tell: Sends an answer about this task.
    canceled: Whether it was canceled.
    """

    def __init__(
        self,
        task: Facts,
        planner: WorkPlanner,
        models: OpenModels,
        max_pixels: int,
        tell: Tell,
        canceled: Callable[[], bool],
    ) -> None:
        self._source, self._target = Path(task["source"]), Path(task["target"])
        self._parameters: Parameters = read_parameters(task["parameters"])
        self._careful: bool = task.get("careful", False)
        self._planner, self._models, self._max_pixels = planner, models, max_pixels
        self._tell, self._canceled = tell, canceled
        self._encoding = Encoding(self._parameters.quality, self._parameters.png_level, max_pixels_in=max_pixels)

    def run(self, before_large: Callable[[], None]) -> Writing:
        """Read and run. `before_large` is called before work that leaves no memory for another picture's.

        Raises `Problem`, `UpresError`, `Cancelled`.
        """
        start = time.perf_counter()
        found = self._planner.find(self._parameters, self._source)
        looked = time.perf_counter()
        options = self._planner.options(self._parameters, careful=self._careful)
        plan = self._planner.plan(found, self._parameters, options)
        self._models.hashes(found.choice.name)
        opened = time.perf_counter()
        self._tell(step="planned", **facts_of(found, plan))
        small = plan.array_bytes <= _OVERLAP_SHARE * (self._planner.base.memory_bytes or 0)
        overlaps = small and found.frames == 1 and not plan.by_rows and not self._careful
        if not overlaps:
            before_large()
        read_s, notes, job, result = self._run_or_again(found, plan, options)
        ran = time.perf_counter()
        times = {"look": looked - start, "open": opened - looked, "read": read_s, "run": ran - opened - read_s}
        if isinstance(result, Picture):
            result = replace(result, format=job.format, xmp=stamped(result.xmp, job, self._encoding))
        box = [result]  # emptied by the work, so that the picture is freed as soon as it is written
        del result

        def write() -> Facts:
            begun = time.perf_counter()
            said = self._write(job, box.pop())
            took = time.perf_counter() - begun
            return {
                "notes": list(dict.fromkeys((*said, *notes))),
                "result": {
                    "bytes": self._target.stat().st_size,
                    "sha256": sha256_of(self._target),
                    "seconds": round(ran - start + took, 3),
                },
                "times": {**times, "write": took},
            }

        return Writing(write, overlaps)

    def _run_or_again(
        self, found: Found, plan: Plan, options: UpscaleOptions
    ) -> tuple[float, tuple[str, ...], Job, _Result]:
        """Seconds of reading, notes, the job and its result; in small tiles where memory is short."""
        with suppress(MemoryError, OutOfMemoryError):
            return self._run(found, plan, options, ())
        if options.tile_px is not None:
            raise OutOfMemoryError("even in small tiles")
        self._models.close()
        options = self._planner.options(self._parameters, careful=True)
        return self._run(found, self._planner.plan(found, self._parameters, options), options, (_SHORT,))

    def _run(
        self, found: Found, plan: Plan, options: UpscaleOptions, notes: tuple[str, ...]
    ) -> tuple[float, tuple[str, ...], Job, _Result]:
        job = self._planner.job(found, self._parameters, plan, options, self._source, self._target)
        progress = watched(self._progress(), self._canceled)
        assert progress is not None
        if plan.by_rows:
            return 0.0, notes, job, run_by_rows(job, self._encoding, progress)
        begun = time.perf_counter()
        if found.frames > 1:
            animation = read_animation(self._source, max_pixels=self._max_pixels)
            read_s = time.perf_counter() - begun
            return read_s, notes, job, upscale_animation(job, animation, self._encoding, progress)
        picture = read_picture(self._source, max_pixels=self._max_pixels)
        read_s = time.perf_counter() - begun
        return read_s, notes, job, job.upscaler(picture, size=job.size, progress=progress)

    def _progress(self) -> Progress:
        told = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_S and done < total:
                told = time.monotonic()
                self._tell(step="progress", share=done / total)

        return progress

    def _write(self, job: Job, result: _Result) -> tuple[str, ...]:
        """Write the result; returns its notes."""
        if isinstance(result, tuple):
            return result
        if isinstance(result, EncodedAnimation):
            write_animation(job, result, self._encoding)
            return result.notes
        write_result(result, job, self._encoding)
        return (*result.notes, *writing_notes(result, job.format, self._encoding.quality))
