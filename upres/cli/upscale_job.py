"""Run the jobs of `upres upscale`, with progress, messages and the exit code."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

from upres.batch import measured
from upres.batch.c2pa_signing import check_credentials
from upres.batch.estimate import estimate_seconds
from upres.batch.find_books import FoundBook, find_books
from upres.batch.invented_maps import check_files, check_maps
from upres.batch.job import Encoding, Summary
from upres.batch.paths import STDIO, Destination, choose_destination
from upres.batch.plan import prepare
from upres.batch.request import CollectionOptions, Request
from upres.batch.run import run_jobs
from upres.cli.download import have_models
from upres.cli.engine_options import tell_measurements
from upres.cli.errors import INPUT_FAILED
from upres.cli.job_exit import leave
from upres.cli.job_words import TELL_FROM_S, tell_choices, tell_end, tell_left_out, tell_start
from upres.cli.json_lines import JsonLines
from upres.cli.progress import UpscaleProgress
from upres.errors import OutputError, UsageError
from upres.images.io import WRITABLE_FORMATS, read_source, set_threads
from upres.images.target_size import check_target_kb
from upres.system.storage import home_of, is_url


def run_request(request: Request, encoding: Encoding, options: CollectionOptions, as_json: bool, debug: bool) -> int:
    """Run the jobs of a request and return the exit code.

    request: What to upscale.
    encoding: How to write results; its sink is set here.
    options: Of a collection, if results go to a folder.
    as_json: Print a line of JSON for each picture.
    debug: Print tracebacks.
    """
    logging.getLogger("upres").addHandler(logging.NullHandler())  # the notes of outcomes contain what the library logs
    tell_measurements()
    if encoding.c2pa is not None:
        check_credentials(encoding.c2pa)
    if encoding.invented is not None:
        check_maps(encoding.invented, request)
    set_threads(request.options.engine_options.threads)
    if request.model is not None:
        have_models(part.model for stage in request.composition().stages for part in stage)
    books, rest = find_books(request)
    if books and encoding.target_kb is not None:
        raise UsageError(f"{books[0].path} holds many pictures; `target_kb` is for pictures of one format")
    if books:
        return _run_with_books(books, rest, request, encoding, options, as_json, debug)
    return _run_pictures(request, encoding, options, as_json, debug)


def _run_pictures(request: Request, encoding: Encoding, options: CollectionOptions, as_json: bool, debug: bool) -> int:
    if any(is_url(text) for text in (*request.inputs, request.out or "")):
        return _run_remote(request, encoding, options, as_json, debug)
    destination = choose_destination(request.inputs, request.out, request.format, measured.formats(request))
    if encoding.target_kb is not None:
        check_target_kb(encoding.target_kb, destination.format)
    if as_json and destination.stdout:
        raise UsageError("`as_json` prints to standard output, where the picture goes; name a file with `out`")
    lines = JsonLines(destination.folder) if as_json else None
    if destination.folder is not None:
        from upres.cli.collection_job import run_collection

        return run_collection(request, encoding, destination, options, _read_stdin, lines, debug)
    for field in fields(options):
        if getattr(options, field.name) != field.default:
            raise UsageError(f"`{field.name}` needs an output folder: `out=FOLDER/`")
    return _run_few(request, replace(encoding, sink=_write_stdout), debug, lines)


def _run_with_books(
    books: list[FoundBook],
    rest: tuple[str, ...],
    request: Request,
    encoding: Encoding,
    options: CollectionOptions,
    as_json: bool,
    debug: bool,
) -> int:
    """Archives and books, and then the pictures beside them. The exit code is that of the first that failed."""
    from upres.cli.book_job import run_books

    lines = JsonLines(None) if as_json else None
    code = run_books(books, request, encoding, options, lines, debug)
    if not rest or code > INPUT_FAILED:
        return code
    return _run_pictures(replace(request, inputs=rest), encoding, options, as_json, debug) or code


def _run_remote(request: Request, encoding: Encoding, options: CollectionOptions, as_json: bool, debug: bool) -> int:
    """Pictures or results at URLs; results go to a folder or below a URL."""
    from upres.cli.collection_job import run_collection

    if request.out is None or request.out == STDIO:
        raise UsageError("pictures at URLs need a folder or a URL for their results: `out=FOLDER/`")
    remote = is_url(request.out)
    if request.format is not None and request.format not in WRITABLE_FORMATS.values():
        raise UsageError(f"`format={request.format!r}` cannot be written")
    folder = home_of(request.out) if remote else Path(request.out)
    destination = Destination(request.format or "png", folder=folder)
    if encoding.target_kb is not None:
        check_target_kb(encoding.target_kb, destination.format)
    lines = JsonLines(folder) if as_json else None
    return run_collection(request, encoding, destination, options, _read_stdin, lines, debug)


def _run_few(request: Request, encoding: Encoding, debug: bool, lines: JsonLines | None) -> int:
    """Of pictures whose results go beside them, to one file or to standard output."""
    prepared = prepare(request, _read_stdin)
    if prepared.destination.stdout and prepared.jobs and sys.stdout.isatty():
        raise UsageError("standard output is a terminal; redirect it (> result.png), or name a file with -o")
    if encoding.invented is not None:
        check_files(encoding.invented, prepared.jobs, request.overwrite)
    tell_left_out(prepared.left_out, prepared.kept)
    tell_choices(prepared.jobs)
    start = time.monotonic()
    estimate_s = estimate_seconds(prepared.jobs, TELL_FROM_S)
    tell_start(prepared.jobs, estimate_s)
    summary = Summary()
    summary.fail(prepared.failures)
    tell = None if lines is None else lines.picture
    if tell is not None:
        for outcome in prepared.failures:
            tell(outcome)
    pixels = sum(job.plan.pixels for job in prepared.jobs)
    with UpscaleProgress(pixels, len(prepared.jobs), estimate_s, tell) as display:
        report = run_jobs(prepared.jobs, encoding, display)
    summary.add(prepared.jobs, report)
    seconds = time.monotonic() - start
    tell_end(request, prepared.destination, summary, seconds, debug)
    if lines is not None:
        lines.end(summary, prepared.kept.count, 0, seconds)
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
