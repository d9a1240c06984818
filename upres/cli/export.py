"""The verb `upres export`: download the model if need be, read the picture, call one function, report the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb, say
from upres.errors import UsageError, nearest

if TYPE_CHECKING:
    from upres.export.export import Exported
    from upres.graph.nodes import Array

_OUTPUT, _COMPARISON = "Output", "Comparison"


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, a file, or a blend (a:0.7,b:0.3), as `upscale -n` takes it.")],
    format: Annotated[
        str | None,
        typer.Option(
            "-f", "--format", metavar="FORMAT", help="onnx, ncnn or safetensors. Default: by the suffix of -o.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="A file, or a folder that exists. Default: the model's name, in the current folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option("--half", help="Store weights as float16, half the size; the name ends in -fp16.", rich_help_panel=_OUTPUT),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=_OUTPUT)] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="FILE", help="The picture to compare on. Default: one that upres carries.", rich_help_panel=_COMPARISON
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option("--threads", min=0, metavar="N", help="Threads of the engines; 0: one a core.", rich_help_panel=_COMPARISON),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report instead of the files' SHA-256.", rich_help_panel="Other")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP, rich_help_panel="Other")] = False,
) -> None:
    """Write a model for other programs: ONNX, ncnn (Upscayl) or safetensors, compared with its source before it gets its name.

    Standard output gets `SHA-256  FILE` of each file, as sha256sum prints it.

    Example: upres export RealESRGAN_x4plus -f ncnn --half -o ~/upscayl/models

    Example: upres export compact-x4:0.7,compact-gan-x4:0.3 -o blend.onnx
    """

    def work() -> None:
        from upres.cli.download import have_models
        from upres.export.export import FORMATS, export_model

        name = _format(format, out, FORMATS)
        have_models([model])
        pixels = None if picture is None else _read(picture)
        done = export_model(model, out, format=name, half=half, picture=pixels, overwrite=overwrite, threads=threads)
        _tell(done, as_json)

    run_verb(work, debug)


def _format(given: str | None, out: str | None, formats: dict[str, tuple[str, ...]]) -> str:
    """The format that was given, in any case, or that the suffix of `out` names."""
    choice = ", ".join(formats)
    if given is None:
        ending = Path(out or "").suffix.lower()
        found = next((name for name, endings in formats.items() if ending in endings), None)
        if found is None:
            raise UsageError(f"-f is needed where -o does not end in the suffix of a format: expected {choice}")
        return found
    name = given.lower().removeprefix(".")
    if name not in formats:
        raise UsageError(f"unknown format {given!r}{nearest(name, formats)}; expected {choice}")
    return name


def _read(path: Path) -> Array:
    from upres.images.io import read_picture

    return read_picture(path).pixels


def _tell(done: Exported, as_json: bool) -> None:
    from upres.system.files import sha256_of

    for engine in dict.fromkeys(check.engine for check in done.checks):
        worst = max((check for check in done.checks if check.engine == engine), key=lambda check: check.largest)
        count = sum(check.engine == engine for check in done.checks)
        say(f"{engine}: {count} pictures, at worst {worst.words()}")
    for reason in done.not_run:
        say(f"not run: {reason}")
    for note in done.notes:
        say(f"note: {note}")
    if as_json:
        print(done.report.read_text(encoding="utf-8"), end="", flush=True)
        return
    for file in done.files:
        print(f"{sha256_of(file)}  {file}", flush=True)
