"""The verb `upres degrade`: degrade pictures by a recipe and a seed, or by plans printed before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from upres.cli.errors import DEBUG_HELP, DONE, ISOLATE_HELP, exit_code_of, run_verb, words_for
from upres.cli.progress import JobProgress, counted
from upres.errors import InputError, OutputError, UpresError, UsageError

if TYPE_CHECKING:
    from upres.batch.paths import Destination, InputFile
    from upres.degradation.apply import Recipe


_RECIPE, _FILES = "Degradation", "Files"
# Copies of the floats of a picture that are in memory at once: 12 megapixels took 1.2 GB, 7.2 copies beyond decoding.
_COPIES = 8.0


def degrade(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="HR pictures and folders of pictures.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="A file, or a folder (created).", rich_help_panel=_FILES)
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="real-esrgan, bsrgan, wild, bicubic, or a .toml file. Default: real-esrgan.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="N", help="Random seed. Default: 0.", rich_help_panel=_RECIPE)
    ] = None,
    index: Annotated[
        int | None,
        typer.Option(
            "--index",
            min=0,
            metavar="N",
            help="Index of the first picture under the seed. Default: 0.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "-s",
            "--scale",
            min=1,
            max=16,
            metavar="N",
            help="Size of HR relative to LR. Default: 4.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            "--replay",
            metavar="PLANS",
            help="Apply plans that --json printed, one per picture, instead of drawing new ones.",
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    json_lines: Annotated[
        bool,
        typer.Option("--json", help="Print the plan of each picture to stdout, one per line.", rich_help_panel=_FILES),
    ] = False,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Include subfolders; the tree is kept.", rich_help_panel=_FILES)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace results that exist; otherwise they are kept.", rich_help_panel=_FILES
        ),
    ] = False,
    isolate: Annotated[bool, typer.Option("--isolate", help=ISOLATE_HELP, rich_help_panel=_FILES)] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Make LR pictures from HR ones with the blur, noise and compression of real pictures.

    The same recipe, seed and index give the same bytes, and so does a plan printed by --json: docs/degrade.md.

    \b
    Examples:
      upres degrade photo.png -o lr.png --recipe real-esrgan --seed 7 --json
      upres degrade photographs -r -o lr --recipe wild -s 2
    """

    def work() -> int:
        import os

        os.environ.setdefault(
            "OPENBLAS_NUM_THREADS", "1"
        )  # numpy's rounding depends on its threads: the same bytes for any number of cores
        from upres.batch.paths import choose_destination, find_pictures, make_folder
        from upres.degradation.apply import load_recipe
        from upres.images.io import READABLE_SUFFIXES, WRITABLE_FORMATS

        if replay is not None:
            for name, value in {"recipe": recipe, "seed": seed, "index": index, "scale": scale}.items():
                if value is not None:
                    raise UsageError(
                        f"--{name} contradicts --replay {replay}, whose plans are drawn already: give one of them"
                    )
        given = None if replay is not None else load_recipe(recipe or "real-esrgan")
        plans = _read_plans(replay) if replay is not None else None
        destination = choose_destination(inputs, str(out), None, WRITABLE_FORMATS)
        if destination.stdout:
            raise UsageError("upres degrade writes files, not standard output: give -o a file or a folder")
        found = find_pictures(
            inputs, recursive=recursive, suffixes=READABLE_SUFFIXES, keep_out=destination.folder, beside=False
        )
        if not found.pictures:
            raise InputError(
                f"{', '.join(inputs)} holds no pictures (looked for {', '.join(sorted(READABLE_SUFFIXES))})"
            )
        if plans is not None and len(plans) != len(found.pictures):
            raise UsageError(
                f"{replay} holds {len(plans)} plans for {len(found.pictures)} pictures: expected one for each, in order"
            )
        for folder in _check_targets(found.pictures, destination):
            make_folder(folder)
        return _run(found.pictures, destination, given, plans, seed or 0, index or 0, scale or 4, json_lines, overwrite)

    run_verb(work, debug, isolate=isolate)


def _run(
    pictures: list[InputFile], destination: Destination, recipe: Recipe | None, plans: list[dict[str, Any]] | None,
    seed: int, index: int, scale: int, json_lines: bool, overwrite: bool,
) -> int:  # fmt: skip
    """Degrade all pictures; failures are reported, and the first determines the exit code."""
    import json

    import numpy as np

    from upres.degradation.apply import draw_plan, run_plan, sharpened
    from upres.images.io import Picture, read_picture, write_picture

    code = DONE
    with JobProgress("degrading", len(pictures), counted("pictures")) as job:
        for number, found in enumerate(pictures):
            job.update(number)
            target = destination.target(found, "", f".{destination.format}")
            assert found.path is not None and target is not None
            try:
                if target.exists() and not overwrite:
                    job.say(f"{target} exists and was kept: --overwrite replaces it")
                    continue
                if recipe is not None:
                    plan = draw_plan(recipe, seed=seed, index=index + number, scale=scale)
                else:
                    assert plans is not None
                    plan = plans[number]
                picture = read_picture(found.path, copies=_COPIES)
                factor = cast("int", plan["scale"])
                height, width = (side // factor * factor for side in picture.pixels.shape[:2])
                if not height or not width:
                    size = f"{picture.pixels.shape[1]}x{picture.pixels.shape[0]}"
                    raise InputError(f"{found.name} is {size}, too small to be downscaled by {factor}")
                if picture.alpha is not None:
                    job.say(f"{found.name}: transparency is dropped")
                # pictures with a wider gamut than sRGB exceed [0, 1]
                hr = np.clip(picture.pixels[:height, :width], 0.0, 1.0)
                lr = run_plan(sharpened(hr, plan), plan)
                write_picture(Picture(lr), target)
                if json_lines:
                    print(json.dumps({"picture": found.name, **plan}), flush=True)
            except OutputError:
                raise
            except UpresError as error:
                job.say(words_for(error))
                code = code or exit_code_of(error)
    return code


def _read_plans(path: Path) -> list[dict[str, Any]]:
    """Read plans as --json prints them, one per line. Raises `InputError`."""
    from upres.degradation.apply import check_plan
    from upres.system.text import parse_json

    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--replay {path} cannot be read: {error}") from error
    plans: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            plan = parse_json(line)
        except ValueError as error:
            raise InputError(f"--replay {path}, line {number} is not JSON: {error}") from error
        try:
            check_plan(plan)
        except UsageError as error:
            raise InputError(f"--replay {path}, line {number}: {error}") from error
        plans.append(plan)
    if not plans:
        raise InputError(f"--replay {path} holds no plans: expected the output of --json")
    return plans


def _check_targets(pictures: list[InputFile], destination: Destination) -> list[Path]:
    """Refuse results that would replace an input or each other; returns the folders of the results."""
    import os

    if any(found.path is None for found in pictures):
        raise UsageError("upres degrade reads files, not standard input")
    targets = [destination.target(found, "", f".{destination.format}") for found in pictures]
    sources = {os.path.realpath(found.path) for found in pictures if found.path is not None}
    for target in targets:
        if target is not None and os.path.realpath(target) in sources:
            raise UsageError(f"-o names {target}, which is an input: choose another file or folder")
    seen: dict[Path, str] = {}
    for found, target in zip(pictures, targets, strict=True):
        assert target is not None
        if target in seen:
            raise UsageError(
                f"{seen[target]} and {found.name} would both be written to {target}: degrade them one by one"
            )
        seen[target] = found.name
    return sorted({target.parent for target in seen})
