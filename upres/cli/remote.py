"""`upres remote`: upscale pictures on a machine that runs `upres serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb
from upres.cli.size_options import RESULT_PANEL, HeightOption, LongSideOption, MegapixelsOption, WidthOption

_RESULT, _MODEL, _FILES, _SERVER = RESULT_PANEL, "Model", "Files", "Server"
_NOT_SENT = ("url", "inputs", "out", "token", "recursive", "overwrite", "detach", "debug")


def remote(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the server, such as http://gpu-box:8321.")],
    inputs: Annotated[
        list[str], typer.Argument(metavar="PICTURE", help="Pictures or folders of pictures; - is standard input.")
    ],
    out: Annotated[
        str | None,
        typer.Option(
            *("-o", "--out"),
            metavar="OUT",
            help="Output file, folder, or - for stdout. Default: NAME_x4.png beside each input.",
            rich_help_panel=_RESULT,
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(*("--scale", "-s"), metavar="FACTOR", help="Scale factor.", rich_help_panel=_RESULT),
    ] = None,
    width: WidthOption = None,
    height: HeightOption = None,
    long_side: LongSideOption = None,
    megapixels: MegapixelsOption = None,
    format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="png, jpeg, webp, tiff or avif.", rich_help_panel=_RESULT),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option("--quality", metavar="1-100", help="Quality of JPEG, WebP and AVIF.", rich_help_panel=_RESULT),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(*("-n", "--model"), metavar="NAME", help="A model of the server.", rich_help_panel=_MODEL),
    ] = None,
    denoise: Annotated[
        float | None,
        typer.Option("--denoise", metavar="0..1", help="Denoising strength.", rich_help_panel=_MODEL),
    ] = None,
    tta: Annotated[
        bool, typer.Option("--tta", help="Average over eight rotations and flips.", rich_help_panel=_MODEL)
    ] = False,
    blend: Annotated[
        float | None, typer.Option("--blend", metavar="0..1", help="Mix with a resize.", rich_help_panel=_MODEL)
    ] = None,
    color_lock: Annotated[
        bool, typer.Option("--color-lock", help="Keep the colors of large areas.", rich_help_panel=_MODEL)
    ] = False,
    wrap: Annotated[bool, typer.Option("--wrap", help="Seamless texture.", rich_help_panel=_MODEL)] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Include subfolders.", rich_help_panel=_FILES)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace existing results.", rich_help_panel=_FILES)
    ] = False,
    token: Annotated[
        str | None,
        typer.Option("--token", metavar="TOKEN", help="Secret; better in UPRES_REMOTE_TOKEN.", rich_help_panel=_SERVER),
    ] = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Submit, print the ids and end; the same command without it fetches the results.",
            rich_help_panel=_SERVER,
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Upscale pictures on another machine, which runs upres serve.

    A picture and its options give the id of its job: a command that was interrupted by a lost connection or a kill
    goes on where it was when it is run again. Ctrl-C cancels.

    \b
    Examples:
      upres remote http://gpu-box:8321 photo.jpg
      upres remote https://upres.example.org holiday -r -o large
    """
    given = {name: value for name, value in locals().items() if name not in _NOT_SENT and value not in (None, False)}

    def work() -> int:
        from upres.cli.remote_job import RemoteRun

        secret = token or os.environ.get("UPRES_REMOTE_TOKEN") or None
        run = RemoteRun(url, secret, given, overwrite=overwrite, detach=detach)
        return run.run(inputs, out, recursive=recursive)

    run_verb(work, debug)
