"""The verbs `upres models ...`: what models there are, what one is, and getting and removing them."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.command import Verb
from upres.cli.errors import DEBUG_HELP, DONE, MODEL_REFUSED, run_verb, say

if TYPE_CHECKING:
    from upres.models.model import Model
    from upres.models.report import Facts

app = typer.Typer(
    name="models",
    help="List, show, download, add, verify and remove models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_FILTERS, _OUTPUT, _LICENSE, _OTHER = "Filters", "Output", "License", "Other"

_Debug = Annotated[bool, typer.Option("--debug", help=DEBUG_HELP, rich_help_panel=_OTHER)]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=_OUTPUT)]
_Accept = Annotated[
    bool,
    typer.Option("--accept-license", "--accept-licence", help="Accept a restrictive or unknown license.", rich_help_panel=_LICENSE),
]
_STATES = {"house": "bundled with upres", "here": "downloaded", "added": "added by you", "": "not downloaded"}


@app.command("list", cls=Verb)
def list_models(
    family: Annotated[
        str | None,
        typer.Option("--family", metavar="FAMILY", help="Only models of this architecture, such as compact.", rich_help_panel=_FILTERS),
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", metavar="N", help="Only models that enlarge by N.", rich_help_panel=_FILTERS)
    ] = None,
    present: Annotated[bool, typer.Option("--present", help="Only models on this machine.", rich_help_panel=_FILTERS)] = False,
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """List all models by name.

    Marks: * bundled with upres, + added by you, = downloaded.

    Example: upres models list --scale 2 --present

    Example: upres models list --family rrdb --json
    """

    def work() -> None:
        from upres.models.catalog import list_models as find_models
        from upres.models.report import row

        found = find_models(family=family, scale=scale, local=present)
        if as_json:
            print(json.dumps([row(model) for model in found], indent=2, ensure_ascii=False), flush=True)
        else:
            _print_table(found)

    run_verb(work, debug)


def _print_table(found: list[Model]) -> None:
    from upres.models.report import bytes_of, state_of
    from upres.system.text import words_for_bytes

    marks = {"house": "*", "added": "+", "here": "=", "": " "}
    table = [("  NAME", "FAMILY", "SCALE", "LICENSE", "SIZE", "FOR")]
    for model in found:
        size = bytes_of(model)
        words = "?" if size is None else words_for_bytes(size, unit=1000)
        table.append((f"{marks[state_of(model)]} {model.name}", model.family, f"{model.scale}x", model.license, words, model.purpose))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line[:4], widths, strict=False)]
        print("  ".join((*cells, line[4].rjust(widths[4]), line[5])).rstrip()[:columns])
    sys.stdout.flush()
    if not found:
        say("no models match these filters")


@app.command(cls=Verb)
def show(
    model: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The name of a model, downloaded or not, or a file.")],
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """Show what a model or a file is.

    Family, scale, channels, parameters, cost, receptive field, SHA-256 and license. Downloads nothing.

    Example: upres models show RealESRGAN_x4plus

    Example: upres models show model.pth --json
    """

    def work() -> int:
        from dataclasses import asdict

        from upres.models.report import facts

        found = facts(model)
        if as_json:
            print(json.dumps(asdict(found), indent=2, ensure_ascii=False), flush=True)
        else:
            _print_facts(found)
        if found.problem is not None:
            say(f"upres: {found.problem}")
        return DONE if found.problem is None else MODEL_REFUSED

    run_verb(work, debug)


def _print_facts(found: Facts) -> None:
    from upres.system.text import words_for_bytes

    how = {"pinned": " (pinned when it first came)", "catalog": " (as in the catalog)", "computed": "", "unknown": ""}[found.sha256_from]
    colors = None if found.in_channels is None else f"{found.in_channels} in, {found.out_channels} out"
    several = found.files[1:] and found.files
    reach = "the whole picture" if found.sees_whole_picture else f"{found.receptive_field} input pixels to each side"
    lines: list[tuple[str, object]] = [
        ("name", ", ".join((found.name, *found.aliases))),
        ("for", found.purpose or None),
        ("license", found.license),
        ("state", _STATES[found.state] if found.state or found.path is None else None),
        *(("file", f"{file.path}, {file.bytes:,} bytes, sha256 {file.sha256}") for file in several),
        ("file", None if several else found.path),
        ("size", None if found.bytes is None else f"{found.bytes:,} bytes ({words_for_bytes(found.bytes, unit=1000)})"),
        ("sha256", f"{found.sha256}{how}" if found.sha256 else "unknown: pinned at the first download"),
        ("family", found.family),
        ("scale", found.scale),
        ("channels", colors),
        ("alignment", None if found.alignment in (None, 1) else f"sides of the input must be multiples of {found.alignment}"),
        ("parameters", None if found.parameters is None else f"{found.parameters:,}"),
        ("cost", None if found.macs_per_pixel is None else f"{found.macs_per_pixel:,.0f} multiply-adds per input pixel"),
        ("reach", f"{reach} (receptive field)" if found.receptive_field is not None or found.sees_whole_picture else None),
        *(("measured", note) for note in found.notes),
        ("page", found.page or None),
        *(("address", address) for address in found.addresses),
    ]
    for title, value in lines:
        if value is not None and not (title == "sha256" and several):
            print(f"{title:<11}{value}")
    sys.stdout.flush()


@app.command(cls=Verb)
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of `upres models list`.", show_default=False)],
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Download models and verify them.

    Their paths go to standard output. An interrupted download continues where it stopped.

    Example: upres models pull realesr-animevideov3

    Example: upres models pull 4x-Remacri --accept-license
    """

    def work() -> None:
        from upres.cli.download import pull_aloud
        from upres.errors import UsageError
        from upres.models import catalog

        found: list[Model] = []
        for name in names:
            model = catalog.find(name)
            if model is None:
                if catalog.is_path(name):
                    raise UsageError(f"{name} is a path: upres models pull downloads models by name; upres models add takes files")
                raise catalog.unknown_name(name)
            found.append(model)
        for model in found:
            if model.kind == "downloadable":
                pulled = pull_aloud(model, accept_license=accept_license)
                if not pulled.downloaded:
                    say(f"{model.name} is already downloaded, verified")
                print(pulled.path, flush=True)
            else:
                print(catalog.resolve(model.name), flush=True)

    run_verb(work, debug)


@app.command(cls=Verb)
def add(
    file_or_url: Annotated[str, typer.Argument(metavar="FILE|URL", help="A model file, or its http(s) address.")],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it. Default: the file's name.", rich_help_panel=_OTHER)
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            "--license", "--licence", metavar="SPDX", help="Its license, such as CC-BY-4.0, where known.", rich_help_panel=_LICENSE
        ),
    ] = None,
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Copy a model into the cache under a name.

    Its content is checked first. The name, for -n, goes to standard output.

    Example: upres models add ~/Downloads/4x_NewModel.pth --name new --license CC-BY-4.0

    Example: upres models add https://example.org/4x_NewModel.pth --accept-license
    """

    def work() -> None:
        from upres.cli.download import quiet_log, shown_progress
        from upres.models.add import add as add_model
        from upres.models.model import UNKNOWN_LICENSE

        quiet_log()
        chosen = license or UNKNOWN_LICENSE
        remote = file_or_url.lower().startswith(("https://", "http://"))
        if remote:
            say(f"{file_or_url}: license {chosen}")
        with shown_progress(name or "model") as progress:
            model = add_model(file_or_url, name, chosen, accept_license=accept_license, progress=progress)
        pinned = f"; its SHA-256 was not known, and is pinned now: {model.files[0].sha256}" if remote else ""
        say(f"{model.name}: {model.family}, {model.scale}x, {model.license}{pinned}")
        print(model.name, flush=True)

    run_verb(work, debug)


@app.command(cls=Verb)
def verify(debug: _Debug = False) -> None:
    """Check that no model has changed.

    Every file on this machine is hashed again. The exit code is 4 where one has changed.

    Example: upres models verify

    Example: upres models verify | grep WRONG
    """

    def work() -> int:
        from upres.cli.download import quiet_log
        from upres.models import report

        quiet_log()
        wrong = 0
        for check in report.verify():
            print(f"{'ok   ' if check.sound else 'WRONG'}  {check.name}: {check.note}", flush=True)
            wrong += not check.sound
        if wrong:
            say(f"upres: {wrong} cannot be used: upres models pull NAME downloads one again, upres models remove NAME deletes it")
        return MODEL_REFUSED if wrong else DONE

    run_verb(work, debug)


@app.command(cls=Verb)
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models to delete.", show_default=False)], debug: _Debug = False
) -> None:
    """Delete downloaded and added models.

    Only the copies in the cache: bundled models, and files elsewhere, are never touched.

    Example: upres models remove RealESRGAN_x4plus

    Example: upres models remove new 4x-Remacri
    """

    def work() -> None:
        from upres.errors import UsageError
        from upres.models import catalog, store

        for name in names:
            model = catalog.find(name)
            if model is None:
                if catalog.is_path(name):
                    raise UsageError(f"{name} is a path: upres models remove takes names, and deletes only its own copies")
                raise catalog.unknown_name(name)
            if model.kind == "bundled":
                raise UsageError(f"{model.name} is bundled with upres and cannot be removed")
            gone = store.remove(model)
            for path in gone:
                print(path, flush=True)
            if not gone:
                say(f"{model.name} is not on this machine: nothing was deleted")

    run_verb(work, debug)
