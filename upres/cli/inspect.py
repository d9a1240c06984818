"""`upres inspect`: analyze pictures and suggest a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, ISOLATE_HELP, exit_code_of, run_verb, say, words_for
from upres.cli.streams import put
from upres.errors import InputError, UpresError
from upres.system.text import json_text, shown

if TYPE_CHECKING:
    from upres.inspection.report import PictureReport
    from upres.upscaling.choose_model import ModelChoice

_REPORT = "Report"


def inspect(
    inputs: Annotated[
        list[str], typer.Argument(metavar="PICTURE", help="Pictures or folders of pictures; - is standard input.")
    ],
    scale: Annotated[
        float,
        typer.Option(
            "-s",
            "--scale",
            metavar="N",
            help="Scale to suggest a model for.",
            show_default="4",
            rich_help_panel=_REPORT,
        ),
    ] = 4.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line and picture.", rich_help_panel=_REPORT)
    ] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Include subfolders.", rich_help_panel="Files")
    ] = False,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel="Files")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Analyze pictures: true resolution, JPEG compression, noise, banding, gray or drawn, and the model that fits.

    "Not known" means that the picture does not allow an answer.

    \b
    Examples:
      upres inspect photo.jpg
      upres inspect scans/ --json > scans.jsonl
    """

    def work() -> int:
        from upres.batch.paths import find_pictures
        from upres.images.io import READABLE_SUFFIXES
        from upres.upscaling.choose_model import choose_model

        found = find_pictures(inputs, recursive=recursive, suffixes=READABLE_SUFFIXES, keep_out=None, beside=False)
        if not found.pictures:
            suffixes = ", ".join(sorted(READABLE_SUFFIXES))
            raise InputError(f"{', '.join(inputs)} contains no pictures (looked for {suffixes})")
        code, told = DONE, 0
        for picture in found.pictures:
            try:
                report = _inspect(None if picture.path is None else str(picture.path))
            except UpresError as error:  # report it and go on; the exit code tells
                say(words_for(error))
                code = code or exit_code_of(error)
                continue
            choice = choose_model(report, scale)
            if as_json:
                put(json_line(picture.name, report, scale, choice))
            else:
                put("\n".join([*([""] if told else []), *text_of(shown(picture.name), report, scale, choice)]))
            told += 1
        return code

    run_verb(work, debug, isolate=isolate)


def _inspect(path: str | None) -> PictureReport:
    import sys

    from upres.images.io import read_source
    from upres.inspection.inspect import inspect_picture

    return inspect_picture(read_source(sys.stdin.buffer, "standard input") if path is None else path)


def json_line(name: str, report: PictureReport, scale: float, choice: ModelChoice) -> str:
    """A JSON object: `picture`, the fields of the report, `banded`, and `model` with name, scale and reason."""
    from dataclasses import asdict

    model = {"name": choice.name, "scale": scale, "reason": choice.reason}
    fields = {"picture": name, **asdict(report), "banded": report.banded, "model": model}
    return json_text(fields)


def text_of(name: str, report: PictureReport, scale: float, choice: ModelChoice) -> list[str]:
    """The report as lines of text."""
    drawn = _told(report.drawn, "drawn", "photograph", "drawn or photograph: not known")
    gray = _told(report.gray, "gray", "in color", "gray or in color: not known")
    lines = [
        ("picture", _picture(report)),
        ("resolution", _resolution(report)),
        ("compression", _compression(report)),
        ("noise", _noise(report)),
        ("banding", _told(report.banded, "visible steps in gradients", "none seen", "not known")),
        ("kind", f"{drawn}; {gray}"),
        ("fits", f"{choice.name} for x{scale:g}: {choice.reason}"),
    ]
    return [name, *(f"  {title:<13}{value}" for title, value in lines)]


def _told(value: bool | None, yes: str, no: str, unknown: str) -> str:
    return unknown if value is None else yes if value else no


def _picture(report: PictureReport) -> str:
    channels = "gray" if report.channels == 1 else "RGB"
    alpha = " with alpha" if report.alpha else ""
    profile = "no profile" if report.profile is None else f"profile {report.profile}"
    return f"{report.format}, {report.width} x {report.height}, {channels}{alpha}, {report.depth} bits, {profile}"


def _resolution(report: PictureReport) -> str:
    scale = report.true_scale
    if report.true_scale_confidence is None:
        return "not known: the picture is too small or has no detail"
    sure = f"{min(99, round(100 * report.true_scale_confidence))} % certain"
    if scale is None:
        return f"not known (the most likely answer is only {sure})"
    if scale == 1.0:
        return f"full detail for its size ({sure})"
    size = f"{max(1, round(report.width / scale))} x {max(1, round(report.height / scale))}"
    return f"{size} would show the same detail: enlarged {scale:.2f} times, or blurred as much ({sure})"


def _compression(report: PictureReport) -> str:
    before = ""
    if report.earlier_jpeg_quality is not None:
        before = f"; earlier JPEG quality {report.earlier_jpeg_quality}, grid offset {report.earlier_jpeg_grid_offset}"
    if report.jpeg_quality is None:
        return f"no traces of JPEG{before}"
    source = "estimated from pixels"
    if report.jpeg_quality_source != "pixels":
        exact = report.jpeg_quality_source == "tables"
        source = "from its tables" if exact else "nearest to its tables"
    return f"JPEG quality {report.jpeg_quality} ({source}), grid offset {report.jpeg_grid_offset}{before}"


def _noise(report: PictureReport) -> str:
    if report.noise_luma_sigma_255 is None:
        return "not known: hidden by compression, or no flat area"
    luma = f"{report.noise_luma_sigma_255:.1f} of 255 (standard deviation of luma)"
    if report.noise_sigma_255 is None:
        return f"{luma}, before compression"
    if len(report.noise_sigma_255) == 1:
        return luma
    return f"{luma}; red, green, blue {', '.join(f'{sigma:.1f}' for sigma in report.noise_sigma_255)}"
