"""The verbs `upres models ...`: what models there are, what one is, and getting and removing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from upres.cli.command import Verb
from upres.cli.errors import DEBUG_HELP, DONE, MODEL_REFUSED, run_verb, say
from upres.cli.streams import put
from upres.system.text import json_text

if TYPE_CHECKING:
    from upres.models.model import Model

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
    typer.Option(
        "--accept-license",
        "--accept-licence",
        help="Accept a restrictive or unknown license.",
        rich_help_panel=_LICENSE,
    ),
]


@app.command("list", cls=Verb)
def list_models(
    family: Annotated[
        str | None,
        typer.Option(
            "--family",
            metavar="FAMILY",
            help="Only models of this architecture, such as compact.",
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option("--scale", metavar="N", help="Only models that enlarge by N.", rich_help_panel=_FILTERS),
    ] = None,
    present: Annotated[
        bool, typer.Option("--present", help="Only models on this machine.", rich_help_panel=_FILTERS)
    ] = False,
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """List all models by name.

    Marks: * bundled with upres, + added by you, = downloaded.

    \b
    Examples:
      upres models list --scale 2 --present
      upres models list --family rrdb --json
    """

    def work() -> None:
        from upres.cli.models_text import print_table
        from upres.models.catalog import list_models as find_models
        from upres.models.report import row

        found = find_models(family=family, scale=scale, local=present)
        if as_json:
            put(json_text([row(model) for model in found], indent=2))
        else:
            print_table(found)

    run_verb(work, debug)


@app.command(cls=Verb)
def show(
    model: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="The name of a model, downloaded or not, or a file.")
    ],
    as_json: _Json = False,
    debug: _Debug = False,
) -> None:
    """Show what a model or a file is.

    Family, scale, channels, parameters, cost, receptive field, SHA-256 and license. Downloads nothing.

    \b
    Examples:
      upres models show RealESRGAN_x4plus
      upres models show model.pth --json
    """

    def work() -> int:
        from dataclasses import asdict

        from upres.cli.models_text import print_facts
        from upres.models.report import facts

        found = facts(model)
        if as_json:
            put(json_text(asdict(found), indent=2))
        else:
            print_facts(found)
        if found.problem is not None:
            say(f"upres: {found.problem}")
        return DONE if found.problem is None else MODEL_REFUSED

    run_verb(work, debug)


@app.command(cls=Verb)
def pull(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names of `upres models list`.", show_default=False)
    ],
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Download models and verify them.

    Their paths go to standard output. An interrupted download continues where it stopped.

    \b
    Examples:
      upres models pull realesr-animevideov3
      upres models pull 4x-Remacri --accept-license
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
                    raise UsageError(f"{name} is a path: upres models pull takes names, upres models add takes files")
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
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="What to call it. Default: the file's name.", rich_help_panel=_OTHER
        ),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            "--license",
            "--licence",
            metavar="SPDX",
            help="Its license, such as CC-BY-4.0, where known.",
            rich_help_panel=_LICENSE,
        ),
    ] = None,
    accept_license: _Accept = False,
    debug: _Debug = False,
) -> None:
    """Copy a model into the cache under a name.

    Its content is checked first. The name, for -n, goes to standard output.

    \b
    Examples:
      upres models add ~/Downloads/4x_NewModel.pth --name new --license CC-BY-4.0
      upres models add https://example.org/4x_NewModel.pth --accept-license
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
        pinned = f"; its SHA-256 was unknown, and is pinned now: {model.files[0].sha256}" if remote else ""
        say(f"{model.name}: {model.family}, {model.scale}x, {model.license}{pinned}")
        print(model.name, flush=True)

    run_verb(work, debug)


@app.command(cls=Verb)
def verify(debug: _Debug = False) -> None:
    """Check that no model has changed.

    Every file on this machine is hashed again. The exit code is 4 where one has changed.

    \b
    Examples:
      upres models verify
      upres models verify | grep WRONG
    """

    def work() -> int:
        from upres.cli.download import quiet_log
        from upres.models import report

        quiet_log()
        wrong = 0
        for check in report.verify():
            put(f"{'ok   ' if check.sound else 'WRONG'}  {check.name}: {check.note}")
            wrong += not check.sound
        if wrong:
            remedy = "download them again with upres models pull NAME, or delete them with upres models remove NAME"
            say(f"upres: {wrong} cannot be used; {remedy}")
        return MODEL_REFUSED if wrong else DONE

    run_verb(work, debug)


@app.command(cls=Verb)
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models to delete.", show_default=False)],
    debug: _Debug = False,
) -> None:
    """Delete downloaded and added models.

    Only the copies in the cache: bundled models, and files elsewhere, are never touched.

    \b
    Examples:
      upres models remove RealESRGAN_x4plus
      upres models remove new 4x-Remacri
    """

    def work() -> None:
        from upres.errors import UsageError
        from upres.models import catalog, store

        for name in names:
            model = catalog.find(name)
            if model is None:
                if catalog.is_path(name):
                    raise UsageError(f"{name} is a path: upres models remove takes names")
                raise catalog.unknown_name(name)
            if model.kind == "bundled":
                raise UsageError(f"{model.name} is bundled with upres and cannot be removed")
            gone = store.remove(model)
            for path in gone:
                print(path, flush=True)
            if not gone:
                say(f"{model.name} is not on this machine: nothing was deleted")

    run_verb(work, debug)
