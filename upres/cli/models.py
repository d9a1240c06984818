"""The verbs `upres models ...`: what models there are, what one is, and bringing them here and away again."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.command import Verb
from upres.cli.errors import DEBUG_HELP, DONE, MODEL_REFUSED, run_verb, say

if TYPE_CHECKING:
    from upres.models.report import Facts, Row

app = typer.Typer(
    name="models",
    help="List, show, download, add, check and remove models.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Debug = Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)]
_Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
_Accept = Annotated[
    bool, typer.Option("--accept-license", "--accept-licence", help="Agree to a license that is not free for every use, or not known.")
]
_STATES = {"house": "ships with upres", "here": "downloaded", "added": "added by you", "": "not downloaded"}


@app.command("list", cls=Verb)
def list_models(
    family: Annotated[str | None, typer.Option("--family", metavar="FAMILY", help="Only those of a family, such as compact.")] = None,
    scale: Annotated[int | None, typer.Option("--scale", metavar="N", help="Only those that enlarge by N.")] = None,
    present: Annotated[bool, typer.Option("--present", help="Only those that are here.")] = False,
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """List all models by name: * ships with upres, + added by you, = downloaded.

    Example: upres models list --scale 2 --present
    """

    def work() -> None:
        from dataclasses import asdict

        from upres.models.report import rows

        found = rows(family=family, scale=scale, present=present)
        if as_json:
            print(json.dumps([asdict(row) for row in found], indent=2, ensure_ascii=False), flush=True)
        else:
            _print_table(found)

    run_verb(work, debug)


def _print_table(found: list[Row]) -> None:
    from upres.cli.download import words_for_bytes

    marks = {"house": "*", "added": "+", "here": "=", "": " "}
    table = [("  NAME", "FAMILY", "SCALE", "LICENSE", "SIZE", "FOR")]
    for row in found:
        size = "?" if row.bytes is None else words_for_bytes(row.bytes)
        table.append((f"{marks[row.state]} {row.name}", row.family, f"{row.scale}x", row.license, size, row.purpose))
    widths = [max(len(line[column]) for line in table) for column in range(5)]
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table:
        cells = [cell.ljust(width) for cell, width in zip(line[:4], widths, strict=False)]
        print("  ".join((*cells, line[4].rjust(widths[4]), line[5])).rstrip()[:columns])
    sys.stdout.flush()
    if not found:
        say("no model is like that")


@app.command(cls=Verb)
def show(
    model: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A model by name, downloaded or not, or any file.")],
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """Show what a model or a file is: family, scale, channels, parameters, cost, receptive field, SHA-256, license. Downloads nothing.

    Example: upres models show model.pth
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
    from upres.cli.download import words_for_bytes

    how = {"pinned": " (pinned when it first came)", "catalog": " (known)", "computed": "", "unknown": ""}[found.sha256_from]
    colors = None if found.in_channels is None else f"{found.in_channels} in, {found.out_channels} out"
    lines: list[tuple[str, object]] = [
        ("name", ", ".join((found.name, *found.aliases))),
        ("for", found.purpose or None),
        ("license", found.license),
        ("state", _STATES[found.state] if found.state or found.path is None else None),
        ("file", found.path),
        ("size", None if found.bytes is None else f"{found.bytes:,} bytes ({words_for_bytes(found.bytes)})"),
        ("sha256", f"{found.sha256}{how}" if found.sha256 else "not known: pinned at the first download"),
        ("family", found.family),
        ("scale", found.scale),
        ("channels", colors),
        ("alignment", None if found.alignment in (None, 1) else f"sides of the input are multiples of {found.alignment}"),
        ("parameters", None if found.parameters is None else f"{found.parameters:,}"),
        ("cost", None if found.macs_per_pixel is None else f"{found.macs_per_pixel:,.0f} multiply-adds for an input pixel"),
        ("reach", None if found.receptive_field is None else f"{found.receptive_field} input pixels to each side (receptive field)"),
        *(("found", note) for note in found.notes),
        ("page", found.page or None),
        *(("address", address) for address in found.addresses),
    ]
    for title, value in lines:
        if value is not None:
            print(f"{title:<11}{value}")
    sys.stdout.flush()


@app.command(cls=Verb)
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models of the list.")],
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Download models, verified, into the cache; each path goes to standard output. What broke off goes on where it stopped.

    Example: upres models pull realesr-animevideov3
    """

    def work() -> None:
        from upres.cli.download import pull_aloud
        from upres.errors import UsageError
        from upres.models import catalog
        from upres.models.model import KnownModel

        found = [catalog.find(name) for name in names]
        for name, model in zip(names, found, strict=True):
            if model is None:
                if catalog.is_path(name):
                    raise UsageError(f"{name} is a path: upres models pull downloads models by name; upres models add takes files")
                raise catalog.unknown_name(name)
        for name, model in zip(names, found, strict=True):
            if isinstance(model, KnownModel):
                pulled = pull_aloud(model, accept_license=accept_license)
                if not pulled.downloaded:
                    say(f"{model.name} is here already, verified")
                print(pulled.path, flush=True)
            else:
                print(catalog.resolve(name), flush=True)

    run_verb(work, debug)


@app.command(cls=Verb)
def add(
    file_or_url: Annotated[str, typer.Argument(metavar="FILE|URL", help="A model file, or its http(s) address.")],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="What to call it. Default: its own name.")] = None,
    license: Annotated[
        str | None, typer.Option("--license", "--licence", metavar="SPDX", help="Its license, such as CC-BY-4.0, where you know it.")
    ] = None,
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Take a model that is not in the list into the cache, checked by content, and give it a name for -n.

    Example: upres models add ~/Downloads/4x_NewModel.pth --name new --license CC-BY-4.0
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
        pinned = f"; no SHA-256 was known of it, so it is pinned as it came: {model.sha256}" if remote else ""
        say(f"{model.name}: {model.family}, {model.scale}x, {model.license}{pinned}")
        print(model.name, flush=True)

    run_verb(work, debug)


@app.command(cls=Verb)
def verify(debug: _Debug = False) -> None:
    """Hash every model that is here again, and compare. Exit code 4 where one is not what it was.

    Example: upres models verify
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
            say(f"upres: {wrong} of them cannot be used: upres models pull NAME fetches one again, upres models remove NAME deletes it")
        return MODEL_REFUSED if wrong else DONE

    run_verb(work, debug)


@app.command(cls=Verb)
def remove(names: Annotated[list[str], typer.Argument(metavar="NAME", help="Models to delete.")], debug: _Debug = False) -> None:
    """Delete models from the cache; what ships with upres and files elsewhere are never touched.

    Example: upres models remove RealESRGAN_x4plus
    """

    def work() -> None:
        from upres.errors import UsageError
        from upres.models import catalog, store
        from upres.models.catalog import ModelCard

        for name in names:
            model = catalog.find(name)
            if model is None:
                if catalog.is_path(name):
                    raise UsageError(f"{name} is a path: upres models remove takes names, and deletes only its own copies")
                raise catalog.unknown_name(name)
            if isinstance(model, ModelCard):
                raise UsageError(f"{model.name} ships with upres and is not removed")
            gone = store.remove(model)
            for path in gone:
                print(path, flush=True)
            if not gone:
                say(f"{model.name} is not here: nothing was deleted")

    run_verb(work, debug)
