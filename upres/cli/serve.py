"""`upres serve`: settings, and the server until it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli.errors import DEBUG_HELP, run_verb, say
from upres.cli.streams import put

_ADDRESS, _WORK, _LIMITS, _ACCESS, _KEPT = "Address", "Work", "Limits", "Access", "Jobs"


def serve(
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Address. Default: 127.0.0.1.", rich_help_panel=_ADDRESS),
    ] = None,
    port: Annotated[
        str | None,
        typer.Option("--port", metavar="N", help="Port; 0 takes a free one. Default: 8321.", rich_help_panel=_ADDRESS),
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(
            "--token",
            metavar="[NAME:]TOKEN",
            help="Secret of a client, repeatable; better in UPRES_SERVE_TOKEN or a file, UPRES_SERVE_TOKEN_FILE.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--hosts", metavar="NAME", help="Host name to answer to, beside loopback names.", rich_help_panel=_ACCESS
        ),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option(
            "--origins", metavar="URL", help="Web page of another host that may use it.", rich_help_panel=_ACCESS
        ),
    ] = None,
    allow_url: Annotated[
        bool, typer.Option("--allow-url", help="Fetch pictures named by a URL.", rich_help_panel=_ACCESS)
    ] = False,
    no_isolate: Annotated[
        bool,
        typer.Option(
            "--no-isolate", help="Decode pictures in the workers, not in processes beside.", rich_help_panel=_LIMITS
        ),
    ] = False,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="NAME",
            help="Model that may be asked for, repeatable. Default: all on this machine.",
            rich_help_panel=_WORK,
        ),
    ] = None,
    workers: Annotated[
        str | None, typer.Option("--workers", metavar="N", help="Pictures at once. Default: 1.", rich_help_panel=_WORK)
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option("--queue", metavar="N", help="Pictures that may wait. Default: 16.", rich_help_panel=_WORK),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="As of upres upscale.", rich_help_panel=_WORK)
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="As of upres upscale.", rich_help_panel=_WORK)
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", metavar="NAME", help="As of upres upscale.", rich_help_panel=_WORK)
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option("--threads", metavar="N", help="Threads of each worker; 0: all cores.", rich_help_panel=_WORK),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory", metavar="SIZE", help="Of each worker, such as 2G. Default: its share.", rich_help_panel=_WORK
        ),
    ] = None,
    max_mb: Annotated[
        str | None,
        typer.Option("--max-mb", metavar="MB", help="Largest upload. Default: 100.", rich_help_panel=_LIMITS),
    ] = None,
    max_mp: Annotated[
        str | None,
        typer.Option(
            "--max-mp", metavar="MP", help="Largest picture, in megapixels. Default: 100.", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_mp_out: Annotated[
        str | None,
        typer.Option(
            "--max-mp-out", metavar="MP", help="Largest result, in megapixels. Default: 400.", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_frames: Annotated[
        str | None,
        typer.Option(
            "--max-frames", metavar="N", help="Most frames of an animation. Default: 300.", rich_help_panel=_LIMITS
        ),
    ] = None,
    max_seconds: Annotated[
        str | None,
        typer.Option(
            "--max-seconds", metavar="S", help="Longest work on one picture. Default: 3600.", rich_help_panel=_LIMITS
        ),
    ] = None,
    body_seconds: Annotated[
        str | None,
        typer.Option("--body-seconds", metavar="S", help="Longest upload. Default: 60.", rich_help_panel=_LIMITS),
    ] = None,
    drain_seconds: Annotated[
        str | None,
        typer.Option(
            "--drain-seconds", metavar="S", help="For work in hand at SIGTERM. Default: 20.", rich_help_panel=_LIMITS
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FOLDER", help="Jobs and their files. Default: cache.", rich_help_panel=_KEPT),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FOLDER", help="Gets a copy of every result.", rich_help_panel=_KEPT),
    ] = None,
    keep_hours: Annotated[
        str | None,
        typer.Option("--keep-hours", metavar="H", help="Age of ended jobs. Default: 24.", rich_help_panel=_KEPT),
    ] = None,
    keep_gb: Annotated[
        str | None,
        typer.Option("--keep-gb", metavar="GB", help="Space of ended jobs. Default: 4.", rich_help_panel=_KEPT),
    ] = None,
    log: Annotated[
        str | None, typer.Option("--log", metavar="text|json", help="Form of the log.", rich_help_panel="Settings")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML with any of these settings; flags and UPRES_SERVE_* come first.",
            rich_help_panel="Settings",
        ),
    ] = None,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the settings, secrets masked, and end.", rich_help_panel="Settings"),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Serve upscaling over HTTP, with a page at /. The interface is described at /docs and in docs/serve.md.

    \b
    Examples:
      upres serve
      UPRES_SERVE_TOKEN_FILE=tokens upres serve --host 0.0.0.0 --workers 2
    """
    given = dict(locals())

    def work() -> int:
        import os

        from upres.serve.load_settings import load_settings
        from upres.serve.settings import check_installed
        from upres.serve.settings import print_config as config_text

        flags = {
            name: value
            for name, value in given.items()
            if name not in ("config", "print_config", "debug", "no_isolate") and value is not False
        }
        if no_isolate:
            flags["isolate"] = False
        settings = load_settings(flags, os.environ, config)
        if print_config:
            put(config_text(settings))
            return 0
        check_installed()
        from upres.serve.run import serve as run

        return run(settings, ready=lambda url: say(f"upres: serving at {url} (Ctrl-C stops)"))

    run_verb(work, debug)
