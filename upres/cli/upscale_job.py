"""Run the jobs of `upres upscale`, with progress, messages and the exit code."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace

from upres.batch.job import Encoding, Summary
from upres.batch.paths import choose_destination
from upres.batch.plan import prepare
from upres.batch.request import Request
from upres.batch.run import estimate_seconds, run_jobs
from upres.batch.search import parse_shard
from upres.cli.collection_job import run_collection
from upres.cli.download import have_models
from upres.cli.engine_options import tell_measurements
from upres.cli.job_exit import leave
from upres.cli.job_words import TELL_FROM_S, tell_choices, tell_end, tell_left_out, tell_start
from upres.cli.progress import UpscaleProgress
from upres.errors import OutputError, UsageError
from upres.images.io import WRITABLE_FORMATS, read_source, set_threads


def run_request(
    request: Request,
    encoding: Encoding,
    debug: bool,
    *,
    shard: str | None = None,
    retry_failed: bool = False,
) -> int:
    """Run the jobs of a request and return the exit code.

    request: What to upscale.
    encoding: How to write results; its sink is set here.
    debug: Print tracebacks.
    shard, retry_failed: Of a collection, as in `upres upscale`.
    """
    logging.getLogger("upres").addHandler(logging.NullHandler())  # the notes of outcomes contain what the library logs
    tell_measurements()
    set_threads(request.options.engine_options.threads)
    if request.model is not None:
        have_models(part.model for stage in request.composition().stages for part in stage)
    destination = choose_destination(request.inputs, request.out, request.format, WRITABLE_FORMATS)
    part = None if shard is None else parse_shard(shard)
    if destination.folder is not None:
        return run_collection(request, encoding, destination, _read_stdin, debug, shard=part, retry=retry_failed)
    for name, given in (("shard", part is not None), ("retry_failed", retry_failed)):
        if given:
            raise UsageError(f"`{name}` needs an output folder: `out=FOLDER/`")
    return _run_few(request, replace(encoding, sink=_write_stdout), debug)


def _run_few(request: Request, encoding: Encoding, debug: bool) -> int:
    """Of pictures whose results go beside them, to one file or to standard output."""
    prepared = prepare(request, _read_stdin)
    if prepared.destination.stdout and prepared.jobs and sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it (> result.png), or name a file with -o")
    tell_left_out(prepared.left_out, prepared.kept)
    tell_choices(prepared.jobs)
    start = time.monotonic()
    estimate_s = estimate_seconds(prepared.jobs, TELL_FROM_S)
    tell_start(prepared.jobs, estimate_s)
    summary = Summary()
    summary.fail(prepared.failures)
    with UpscaleProgress(sum(job.plan.pixels for job in prepared.jobs), len(prepared.jobs), estimate_s) as display:
        report = run_jobs(prepared.jobs, encoding, display)
    summary.add(prepared.jobs, report)
    tell_end(request, prepared.destination, summary, time.monotonic() - start, debug)
    return leave(summary, prepared.kept, {id(job.upscaler): job.upscaler for job in prepared.jobs}.values())


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
