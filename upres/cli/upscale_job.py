"""Run the jobs of `upres upscale`, with progress, messages and the exit code."""

from __future__ import annotations

import logging
import os
import sys
import time

from upres.batch.job import BatchReport, Encoding
from upres.batch.plan import prepare, settle
from upres.batch.request import Request
from upres.batch.run import estimate_seconds, run_jobs
from upres.cli.download import have_models
from upres.cli.engine_options import tell_measurements
from upres.cli.errors import BUG, DONE, OUTPUT_FAILED, exit_code_of
from upres.cli.job_words import TELL_FROM_S, tell_choices, tell_end, tell_left_out, tell_start
from upres.cli.progress import UpscaleProgress
from upres.errors import OutputError, UsageError
from upres.images.io import read_source, set_threads
from upres.system import signals
from upres.system.files import discard_unfinished


def run_request(request: Request, quality: int | None, png_level: int | None, debug: bool) -> int:
    """Run the jobs of a request and return the exit code.

    request: What to upscale.
    quality, png_level: Of the outputs, as in `Encoding`.
    debug: Print tracebacks.
    """
    logging.getLogger("upres").addHandler(logging.NullHandler())  # the notes of outcomes contain what the library logs
    tell_measurements()
    set_threads(request.options.engine_options.threads)
    if request.model is not None:
        have_models(part.model for stage in request.composition().stages for part in stage)
    prepared = prepare(request, _read_stdin)
    if prepared.destination.stdout and prepared.jobs and sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it (> result.png), or name a file with -o")
    tell_left_out(prepared)
    tell_choices(prepared.jobs)
    start = time.monotonic()
    estimate_s = estimate_seconds(prepared.jobs, TELL_FROM_S)
    tell_start(prepared.jobs, estimate_s)
    with UpscaleProgress(sum(job.plan.pixels for job in prepared.jobs), len(prepared.jobs), estimate_s) as display:
        report = run_jobs(prepared.jobs, Encoding(quality, png_level, sink=_write_stdout), display)
    report.outcomes[:0] = prepared.failures
    tell_end(request, prepared, report, time.monotonic() - start, debug)
    settle(prepared, report)
    code = _exit_code(report) or (OUTPUT_FAILED if prepared.other else DONE)
    if report.abandoned:
        # A thread is still inside an engine's call, and a normal exit would free the engine under it. It may be writing
        # a picture by rows.
        discard_unfinished()
        sys.stderr.flush()
        os._exit(code)
    for upscaler in {id(job.upscaler): job.upscaler for job in prepared.jobs}.values():
        upscaler.close()
    return code


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal; redirect a picture into it (< picture.jpg), or name a file")
    return read_source(sys.stdin.buffer, "standard input")


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def _exit_code(report: BatchReport) -> int:
    """The exit code of the whole job: the most serious one."""
    codes = {exit_code_of(outcome.error) for outcome in report.failed if outcome.error is not None}
    if report.interrupted:
        return signals.exit_code()
    return next((code for code in (5, 4, BUG, 3) if code in codes), max(codes, default=DONE))
