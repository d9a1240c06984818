"""`upres ui`: the page in a browser, for those who would rather look than type."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, DONE, run_verb, say
from upres.cli.streams import put
from upres.errors import UsageError
from upres.system.text import shown


def ui(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Gets the results. Default: upres in your Pictures folder, else the current folder."
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="N",
            min=0,
            max=65535,
            help="Port on this machine; 0 takes a free one.",
            rich_help_panel="Page",
        ),
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address instead of opening it.", rich_help_panel="Page")
    ] = False,
    shortcut: Annotated[
        bool,
        typer.Option(
            "--install-shortcut", help="Add upres to the menu of the desktop, and end.", rich_help_panel="Desktop"
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Open a page in the browser: drop pictures, compare models, save results. Ends with the page, or with Ctrl-C.

    The page is served on this machine for its user alone.

    \b
    Examples:
      upres ui
      upres ui --install-shortcut
    """

    def work() -> int:
        if shortcut:
            if folder is not None or no_browser or port:
                raise UsageError("`shortcut` takes no other option: the entry starts `upres ui` as it is")
            _install_shortcut()
            return DONE
        from upres.serve.settings import check_installed

        check_installed()
        from upres.serve.ui import run_ui

        into = results_folder(folder)

        def opened(url: str, with_token: str) -> None:
            say(f"upres: the page is at {url}; results are saved in {shown(str(into))}")
            if no_browser or not open_browser(with_token):
                put(with_token)
                say("upres: open this address in a browser; it works once. Ctrl-C ends upres")
            else:
                say("upres: it ends when the page is closed and all pictures are done, or with Ctrl-C")

        run_ui(into, port=port, opened=opened)
        return DONE

    run_verb(work, debug)


def results_folder(named: Path | None) -> Path:
    """Where results go: the named folder; else `upres` in the user's folder of pictures, if there is one; else here."""
    if named is not None:
        return named.expanduser().absolute()
    from platformdirs import user_pictures_path

    try:
        pictures = user_pictures_path()
    except RuntimeError:  # a user without a home
        return Path.cwd()
    return pictures / "upres" if pictures.is_dir() else Path.cwd()


def open_browser(address: str) -> bool:
    """Whether a browser was asked to open it. Without a desktop none is tried: it would be one for text."""
    import webbrowser

    desktop = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not desktop and not os.environ.get("BROWSER"):
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def _install_shortcut() -> None:
    from importlib.resources import files

    from upres.system.shortcut import Shortcut, install_shortcut

    icons = files("upres.serve") / "page_files"
    made = Shortcut(
        name="upres",
        title="upres",
        comment="Enlarge pictures",
        comment_zh="放大图片",
        command=(sys.executable, "-m", "upres", "ui"),
        svg=(icons / "icon.svg").read_bytes(),
        png={px: (icons / f"icon-{px}.png").read_bytes() for px in (48, 256)},
    )
    first, *others = install_shortcut(made)
    put(str(first))
    say("upres: this entry starts upres ui; delete it to be rid of it" + (", and these files: " if others else ""))
    for path in others:
        say(f"  {path}")
