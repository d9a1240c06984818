"""The command line. Each command is one file: it parses options, builds one value and calls one function.

Imports stay light: `upres --help` loads no numpy, engine, image codec or torch.
"""

from __future__ import annotations

from copy import copy
from typing import Annotated

import typer

from upres.cli.bench import bench
from upres.cli.command import Verb
from upres.cli.compare import compare
from upres.cli.degrade import degrade
from upres.cli.doctor import doctor
from upres.cli.errors import DEBUG_HELP, enable_debug
from upres.cli.evaluate import evaluate
from upres.cli.export import export
from upres.cli.finetune import finetune
from upres.cli.inspect import inspect
from upres.cli.interpolate import interpolate
from upres.cli.jobs import jobs
from upres.cli.models import app as models
from upres.cli.prepare import prepare
from upres.cli.remote import remote
from upres.cli.runs import runs
from upres.cli.serve import serve
from upres.cli.train import train
from upres.cli.ui import ui
from upres.cli.upscale import upscale
from upres.cli.verify import verify
from upres.cli.video import video

PROGRAM = "upres"
COMPLETE_VARIABLE = "_UPRES_COMPLETE"  # as click derives it from PROGRAM

app = typer.Typer(
    name=PROGRAM,
    help="Super-resolution: upscale pictures, measure models, train them. Exit codes: docs/exit-codes.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich takes longer than the rest of `upres --help`
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=Verb)(upscale)
app.command(cls=Verb)(jobs)
app.command(cls=Verb)(verify)
app.command(cls=Verb)(video)
app.command(cls=Verb)(evaluate)
app.command(cls=Verb)(compare)
app.command(cls=Verb)(inspect)
app.command(cls=Verb)(train)
app.command(cls=Verb)(finetune)
app.command(cls=Verb)(runs)
app.command(cls=Verb)(degrade)
app.command(cls=Verb)(prepare)
app.command(cls=Verb)(interpolate)
app.command(cls=Verb)(export)
app.command(cls=Verb)(serve)
app.command(cls=Verb)(remote)
app.command(cls=Verb)(ui)
app.command(cls=Verb)(doctor)
app.command(cls=Verb)(bench)
app.add_typer(models)


def app_for(verb: str) -> typer.Typer:
    """The command line with no other verb than `verb`, if that is one: typer prepares the options of each, 5 ms a verb.
    Else all of it.
    """
    wanted = [info for info in app.registered_commands if info.callback is not None and info.callback.__name__ == verb]
    if not wanted:
        return app
    alone = copy(app)
    alone.registered_commands, alone.registered_groups = wanted, []
    return alone


# Completion is typer's own, imported on use: `add_completion=True` would import it at every start.


def load_completion() -> None:
    """Register the shells with typer, before one asks for completions through `COMPLETE_VARIABLE`."""
    from typer.completion import completion_init  # pyright: ignore[reportPrivateImportUsage]

    completion_init()


def _install_completion(ctx: typer.Context, parameter: typer.CallbackParam, wanted: bool) -> None:
    from typer.completion import install_callback

    install_callback(ctx, parameter, wanted)  # pyright: ignore[reportArgumentType]  # typer's name for the class is private


def _show_completion(ctx: typer.Context, parameter: typer.CallbackParam, wanted: bool) -> None:
    from typer.completion import show_callback

    show_callback(ctx, parameter, wanted)  # pyright: ignore[reportArgumentType]


def _show_version(wanted: bool) -> None:
    if wanted:
        from upres import __version__

        print(f"upres {__version__}")
        raise typer.Exit


@app.callback()
def _everywhere(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
    install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            help="Install completion of commands and options for this shell.",
            callback=_install_completion,
            is_eager=True,
        ),
    ] = False,
    show_completion: Annotated[
        bool,
        typer.Option(
            "--show-completion", help="Print the completion script.", callback=_show_completion, is_eager=True
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("-V", "--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    if debug:
        enable_debug()
