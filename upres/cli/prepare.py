"""The verb `upres prepare`: folders of photographs in, shards for training out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb, say
from upres.cli.progress import JobProgress, counted
from upres.errors import UsageError


def prepare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders of HR pictures; folders below them count.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="SHARDS", help="The folder of shards to make.")],
    crop: Annotated[int, typer.Option("--crop", metavar="PX", help="Side of a crop.")] = 480,
    step: Annotated[int, typer.Option("--step", metavar="PX", help="From one crop to the next.")] = 240,
    smallest: Annotated[int, typer.Option("--smallest", metavar="PX", help="Pictures with a shorter side are left out.")] = 128,
    flat: Annotated[
        float, typer.Option("--flat", metavar="LEVELS", help="Drop crops that change by less from pixel to pixel, of 255 on average.")
    ] = 1.0,
    validation: Annotated[
        float, typer.Option("--validation", metavar="N|SHARE", help="Pictures kept for validation, a number or a share; a quarter at most.")
    ] = 5.0,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(
            "--exclude", metavar="DIR",
            help="Test pictures: copies and parts of them are not used; may be repeated. Needs pip install 'upres\\[prepare]'.",
        ),
    ] = None,
    scales: Annotated[str, typer.Option("--scales", metavar="X,...", help="Cut each picture reduced by these factors, too.")] = "1",
    channels: Annotated[int, typer.Option("--channels", metavar="1|3", help="Gray or color. Default: as the pictures.")] = 0,
    depth: Annotated[int, typer.Option("--depth", metavar="8|16", help="Bits of a level. Default: 16 if any picture has 16.")] = 0,
    shard_mb: Annotated[int, typer.Option("--shard-mb", metavar="MB", help="Size of a shard at most.")] = 256,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the shards in SHARDS.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Check, sort out, cut and pack pictures for training.

    Broken pictures are named and left out, copies are used once, and the validation pictures share none with the others: docs/data.md.

    Example: upres prepare photographs -o shards --exclude Set14
    """

    def work() -> None:
        from upres.training.data.prepare import Options
        from upres.training.data.prepare import prepare as run

        try:
            factors = tuple(float(part) for part in scales.split(","))
        except ValueError as error:
            raise UsageError(f"--scales takes factors such as 1,0.75,0.5, got {scales!r}") from error
        options = Options(crop, step, smallest, flat, validation, factors, channels, depth, shard_mb)
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
            f"{out}: {report.crops} crops of {report.pictures} pictures, {report.validation} pictures to validate on, "
            f"{report.bytes / 2**20:.0f} MB in {report.shards} shards",
            flush=True,
        )

    run_verb(work, debug)
