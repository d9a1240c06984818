"""The verb `upres upscale`: parse, build one `Request`, run its jobs, say what came of it."""

from __future__ import annotations

import math
import os
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.engine_options import SPEED_PANEL, DeviceOption, Engine, Precision, PrecisionOption, plain, tell_measurements
from upres.cli.errors import BUG, DEBUG_HELP, DONE, INTERRUPTED, OUTPUT_FAILED, debug_enabled, exit_code_of, run_verb
from upres.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from upres.batch.request import Request
    from upres.batch.run import BatchReport

_RESULT, _MODEL, _LOOK, _SPEED, _FILES = "Result", "Model", "Look", SPEED_PANEL, "Files"


def upscale(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Pictures and folders of pictures; - is standard input.")],
    out: Annotated[
        str | None,
        typer.Option(
            *("-o", "--out"),
            metavar="OUT",
            help="A file, a folder (created), or - for standard output. Default: NAME_x4.png beside each input.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            *("--scale", "-s"),
            metavar="FACTOR",
            help="Factor of the sides, such as 4 or 2.5. Default: the model's.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="PX", help="Width; with --height: fit inside that box.", rich_help_panel=_RESULT),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option("--height", metavar="PX", help="Height; with --width: fit inside that box.", rich_help_panel=_RESULT),
    ] = None,
    long_side: Annotated[
        int | None, typer.Option("--long-side", metavar="PX", help="Longer side.", rich_help_panel=_RESULT)
    ] = None,
    megapixels: Annotated[
        float | None, typer.Option("--megapixels", metavar="MP", help="Area in millions of pixels.", rich_help_panel=_RESULT)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="png, jpeg, webp, tiff or avif. Default: by the name of -o, or png.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(
            "--quality", min=1, max=100, metavar="1-100", help="Quality of JPEG, WebP and AVIF.", rich_help_panel=_RESULT
        ),
    ] = None,
    png_level: Annotated[
        int | None,
        typer.Option("--png-level", min=0, max=9, metavar="0-9", help="Effort of PNG: 0 fast, 9 small.", rich_help_panel=_RESULT),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            *("-n", "--model"),
            metavar="NAME|FILE",
            help="A model by name or file, a blend (a:0.7,b:0.3), or a chain ('a>b'). Default: chosen by the factor.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option(
            "--denoise",
            metavar="0..1",
            help="Share of -n in a blend with its twin that keeps noise: 1 removes most noise.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    denoise_with: Annotated[
        str | None,
        typer.Option(
            "--denoise-with", metavar="FILE", help="That twin, where -n is not realesr-general-x4v3.", rich_help_panel=_MODEL
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Mean over eight turns and flips of the picture (8 times the time).", rich_help_panel=_LOOK),
    ] = False,
    blend: Annotated[
        float,
        typer.Option("--blend", metavar="0..1", help="1 is the network, 0 a plain cubic resize.", rich_help_panel=_LOOK),
    ] = 1.0,
    color_lock: Annotated[
        bool,
        typer.Option("--color-lock", help="Large areas keep the input's colors, which GAN models shift.", rich_help_panel=_LOOK),
    ] = False,
    wrap: Annotated[
        bool, typer.Option("--wrap", help="The picture is a seamless texture, and stays one.", rich_help_panel=_LOOK)
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="What runs the network; auto: the fastest here, measured once.", rich_help_panel=_SPEED),
    ] = Engine.auto,
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.auto,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", min=0, metavar="N", help="Threads of the network and the codecs; 0: one a core.", rich_help_panel=_SPEED
        ),
    ] = 0,
    memory_bytes: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="Memory to use, such as 2G or 512M. Default: most of what is free.",
            rich_help_panel=_SPEED,
        ),
    ] = None,
    tile_px: Annotated[
        str,
        typer.Option(
            "--tile", metavar="auto|PX", help="Side of a tile in input pixels; auto: by the free memory.", rich_help_panel=_SPEED
        ),
    ] = "auto",
    exact: Annotated[
        bool, typer.Option("--exact", help="Tiles equal the untiled result to the bit (slower).", rich_help_panel=_SPEED)
    ] = False,
    recursive: Annotated[
        bool,
        typer.Option("-r", "--recursive", help="Go into folders of folders; the tree is kept.", rich_help_panel=_FILES),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace results that exist; otherwise they are kept.", rich_help_panel=_FILES),
    ] = False,
    max_pixels: Annotated[
        str,
        typer.Option(
            "--max-pixels",
            metavar="N",
            help="Largest result, in pixels; 500M means 500 megapixels.",
            rich_help_panel=_FILES,
        ),
    ] = "1000M",
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Upscale pictures. Without -o each result lies beside its picture as NAME_x4.png.

    Nothing is overwritten without --overwrite, and an input never is. Running the same command again goes on where it was stopped.

    \b
    Examples:
      upres upscale photo.jpg
      upres upscale holiday -r -s 2 -o large
    """
    given = dict(locals())  # by the names that the options have in the library

    def work() -> int:
        from upres.batch.request import Request
        from upres.system.text import parse_bytes
        from upres.upscaling.options import OPTION_FIELDS, UpscaleOptions
        from upres.upscaling.output_size import OutputSize

        if "" in inputs or out == "":
            raise UsageError("an input or -o is the empty text (a variable that is not set?): name a picture, a folder or -")
        given["tile_px"] = _parse_tile(tile_px)
        given["memory_bytes"] = None if memory_bytes is None else parse_bytes(memory_bytes)
        request = Request(
            inputs=tuple(inputs),
            out=out,
            size=OutputSize(factor, width, height, long_side, megapixels),
            model=model,
            options=UpscaleOptions().replace(**{name: plain(given[name]) for name in OPTION_FIELDS if name in given}),
            format=_format_name(format),
            max_pixels=_parse_pixels(max_pixels),
            overwrite=overwrite,
            recursive=recursive,
        )
        return _upscale(request, quality, png_level, debug or debug_enabled())

    run_verb(work, debug)


def _parse_tile(text: str) -> int | None:
    if text != "auto" and (not text.isdecimal() or int(text) < 1):
        raise UsageError(f"--tile expects auto or a number of pixels, got {text!r}")
    return None if text == "auto" else int(text)


def _parse_pixels(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)P?", text.strip().upper())
    value = 0 if match is None else math.floor(float(match[1]) * {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}[match[2]])
    if value < 1:
        raise UsageError(f"--max-pixels expects a number of pixels such as 500M, got {text!r}")
    return value


def _format_name(text: str | None) -> str | None:
    """`jpg` and `.JPG` mean `jpeg`, `tif` means `tiff`."""
    name = None if text is None else text.lower().removeprefix(".")
    return None if name is None else {"jpg": "jpeg", "tif": "tiff"}.get(name, name)


def _upscale(request: Request, quality: int | None, png_level: int | None, debug: bool) -> int:
    import logging
    import time

    from upres.batch.plan import prepare, settle
    from upres.batch.run import Encoding, estimate_seconds, run_jobs
    from upres.cli.download import have_models
    from upres.cli.job_words import TELL_FROM_S, tell_end, tell_left_out, tell_start
    from upres.cli.progress import UpscaleProgress
    from upres.images.io import set_threads

    logging.getLogger("upres").addHandler(logging.NullHandler())  # what the library logs is told here as a note
    tell_measurements()
    set_threads(request.options.engine_options.threads)
    if request.model is not None:
        have_models(part.model for stage in request.composition().stages for part in stage)
    prepared = prepare(request, _read_stdin)
    if prepared.destination.stdout and prepared.jobs and sys.stdout.isatty():
        raise UsageError("standard output is a terminal: redirect it (> result.png), or name a file with -o")
    tell_left_out(prepared)
    start = time.monotonic()
    estimate_s = estimate_seconds(prepared.jobs, TELL_FROM_S)
    tell_start(prepared.jobs, estimate_s)
    with UpscaleProgress(sum(job.plan.pixels for job in prepared.jobs), len(prepared.jobs), estimate_s) as display:
        report = run_jobs(prepared.jobs, Encoding(quality, png_level, sink=_write_stdout), display)
    settle(prepared, report)
    report.outcomes[:0] = prepared.failures
    tell_end(request, prepared, report, time.monotonic() - start, debug)
    code = _exit_code(report) or (OUTPUT_FAILED if prepared.other else DONE)
    if report.abandoned:
        # A thread is still deep inside an engine's call. Leaving in the usual way would tear the engine down under it; every file is
        # complete or absent by now, so there is nothing left to tidy.
        sys.stderr.flush()
        os._exit(code)
    for upscaler in {id(job.upscaler): job.upscaler for job in prepared.jobs}.values():
        upscaler.close()
    return code


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal: pipe a picture into it (< picture.jpg), or name a file")
    data = sys.stdin.buffer.read()
    if not data:
        raise InputError("standard input is empty: a picture was expected")
    return data


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _exit_code(report: BatchReport) -> int:
    """The code for the whole job; of several, the one that calls most for doing something."""
    codes = {exit_code_of(outcome.error) for outcome in report.failed if outcome.error is not None}
    if report.interrupted:
        return INTERRUPTED
    return next((code for code in (5, 4, BUG, 3) if code in codes), max(codes, default=DONE))
