"""`upres export`: download the model if needed, export it, report the comparison."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb, say
from upres.cli.streams import put
from upres.errors import UsageError, nearest

if TYPE_CHECKING:
    from upres.export.export import Exported
    from upres.graph.nodes import Array

_OUTPUT, _COMPARISON = "Output", "Comparison"


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model name or file, or blend (a:0.7,b:0.3).")],
    format: Annotated[
        str | None,
        typer.Option(
            "-f",
            "--format",
            metavar="FORMAT",
            help="onnx, ncnn or safetensors. Default: by the suffix of -o.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            help="Output file or existing folder. Default: the name of the model, in the current folder.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Store weights as float16, in half the size; adds -fp16 to the default name.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=_OUTPUT)
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help="Picture for the comparison. Default: a bundled one.",
            rich_help_panel=_COMPARISON,
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=0,
            metavar="N",
            help="Threads for the engines; 0: one per core.",
            rich_help_panel=_COMPARISON,
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report instead of checksums.", rich_help_panel=_OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Export a model to ONNX, ncnn (Upscayl) or safetensors.

    The exported files are run and compared with the source before they are put in place. Prints `SHA-256  FILE` for
    each file.

    \b
    Examples:
      upres export RealESRGAN_x4plus -f ncnn --half -o ~/upscayl/models
      upres export srvgg-x4:0.7,compact-gan-x4:0.3 -o blend.onnx
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
    """The format given, in any case, or else the one of the suffix of `out`."""
    choice = ", ".join(formats)
    if given is None:
        ending = Path(out or "").suffix.lower()
        found = next((name for name, endings in formats.items() if ending in endings), None)
        if found is None:
            raise UsageError(f"specify -f, or an -o with the suffix of a format: expected {choice}")
        return found
    name = given.lower().removeprefix(".")
    if name not in formats:
        raise UsageError(f"unknown format {given!r}; expected {choice}{nearest(name, formats)}")
    return name


def _read(path: Path) -> Array:
    from upres.images.io import read_picture

    return read_picture(path).pixels


def _tell(done: Exported, as_json: bool) -> None:
    from upres.system.files import sha256_of

    for engine in dict.fromkeys(check.engine for check in done.checks):
        worst = max((check for check in done.checks if check.engine == engine), key=lambda check: check.largest)
        count = sum(check.engine == engine for check in done.checks)
        say(f"{engine}: {count} pictures, worst: {worst.words()}")
    for reason in done.not_run:
        say(f"not compared: {reason}")
    for note in done.notes:
        say(f"note: {note}")
    if as_json:
        put(done.report.read_text(encoding="utf-8"), end="")
        return
    for file in done.files:
        print(f"{sha256_of(file)}  {file}", flush=True)
