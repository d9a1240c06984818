"""The verb `upres prepare`: make shards for training from folders of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, INPUT_FAILED, ISOLATE_HELP, run_verb, say
from upres.cli.progress import JobProgress, counted
from upres.errors import UsageError

_CROPS, _CHOICE, _OUTPUT = "Crops", "Selection", "Output"


def prepare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of HR pictures, with subfolders.")],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="SHARDS", help="The folder of shards to make.", rich_help_panel=_OUTPUT),
    ],
    crop_px: Annotated[int, typer.Option("--crop", metavar="PX", help="Side of a crop.", rich_help_panel=_CROPS)] = 480,
    step_px: Annotated[
        int, typer.Option("--step", metavar="PX", help="Distance between crops.", rich_help_panel=_CROPS)
    ] = 240,
    scales: Annotated[
        str,
        typer.Option(
            "--scales",
            metavar="X,...",
            help="Cut each picture downscaled by each of these factors.",
            rich_help_panel=_CROPS,
        ),
    ] = "1",
    flat_255: Annotated[
        float,
        typer.Option(
            "--flat",
            metavar="LEVELS",
            help="Drop crops whose neighboring pixels differ by less, of 255 on average.",
            rich_help_panel=_CROPS,
        ),
    ] = 1.0,
    smallest_px: Annotated[
        int,
        typer.Option(
            "--smallest", metavar="PX", help="Leave out pictures with a shorter side.", rich_help_panel=_CHOICE
        ),
    ] = 128,
    validation: Annotated[
        float,
        typer.Option(
            "--validation",
            metavar="N|SHARE",
            help="Validation pictures, a number or a share; at most a quarter.",
            show_default="5",
            rich_help_panel=_CHOICE,
        ),
    ] = 5.0,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            "--exclude",
            metavar="DIR",
            help="Test pictures: leave out copies and parts of them; repeatable. Needs pip install 'upres[prepare]'.",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    channels: Annotated[
        int,
        typer.Option(
            "--channels",
            metavar="1|3",
            help="Gray or color. Default: as the pictures.",
            show_default=False,
            rich_help_panel=_OUTPUT,
        ),
    ] = 0,
    depth: Annotated[
        int,
        typer.Option(
            "--depth",
            metavar="8|16",
            help="Bit depth. Default: 16 if any picture has 16.",
            show_default=False,
            rich_help_panel=_OUTPUT,
        ),
    ] = 0,
    shard_mb: Annotated[
        int, typer.Option("--shard-mb", metavar="MB", help="Maximum size of a shard.", rich_help_panel=_OUTPUT)
    ] = 256,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the shards in SHARDS.", rich_help_panel=_OUTPUT)
    ] = False,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_CHOICE)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Check, deduplicate, cut and pack pictures for training.

    Broken pictures are reported and left out, copies are used once, and validation pictures are kept apart:
    docs/data.md.

    \b
    Examples:
      upres prepare photographs -o shards --exclude Set14
      upres prepare photographs comics -o shards --scales 1,0.75,0.5 --validation 0.02
    """

    def work() -> int:
        from upres.training.data.crops import Options
        from upres.training.data.prepare import prepare as run

        try:
            factors = tuple(float(part) for part in scales.split(","))
        except ValueError as error:
            raise UsageError(f"--scales takes factors such as 1,0.75,0.5, got {scales!r}") from error
        options = Options(crop_px, step_px, smallest_px, flat_255, validation, factors, channels, depth, shard_mb)
        with JobProgress("looking for pictures", None, counted("pictures")) as job:

            def told(stage: str, done: int, of: int) -> None:
                if stage != job.title:
                    job.begin(stage, of)
                job.update(done, of)

            report = run(folders, out, options, exclude=exclude or (), overwrite=overwrite, progress=told)
        for words in report.notes:
            say(words)
        for words in report.left_out:
            say(f"left out: {words}")
        if report.flat:
            say(f"{report.flat} flat crops were dropped (--flat 0 keeps them)")
        print(
            f"{out}: {report.crops} crops of {report.pictures} pictures, {report.validation} validation pictures, "
            f"{report.bytes / 2**20:.0f} MB in {report.shards} shards",
            flush=True,
        )
        if report.unreadable:
            say(f"{report.unreadable} pictures could not be read, and the shards were made without them")
        return INPUT_FAILED if report.unreadable else DONE

    run_verb(work, debug, isolate=isolate)
