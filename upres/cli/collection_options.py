"""Options of `upres upscale` for whole collections, and for what is said of the results."""

from __future__ import annotations

from typing import Annotated

import typer

_PANEL = "Collections"

BooksOption = Annotated[
    bool,
    typer.Option("--books", help="Include archives and books (.cbz, .pdf, ...) in folders.", rich_help_panel=_PANEL),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="N/OF",
        help="Only this part of the pictures, such as 3/10, for several machines.",
        rich_help_panel=_PANEL,
    ),
]
RetryOption = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Also try pictures again that failed before and have not changed.",
        rich_help_panel=_PANEL,
    ),
]
ProcessesOption = Annotated[
    int,
    typer.Option(
        "--jobs",
        min=1,
        max=256,
        metavar="N",
        help="Processes side by side, each with its share of the cores: faster for many small pictures.",
        rich_help_panel=_PANEL,
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Upscale on a Ray cluster, such as auto or ray://head:10001; it must see the same files.",
        rich_help_panel=_PANEL,
    ),
]
NoProvenanceOption = Annotated[
    bool,
    typer.Option(
        "--no-provenance", help="Do not say in the XMP what a result is and what made it.", rich_help_panel=_PANEL
    ),
]
SidecarOption = Annotated[
    bool,
    typer.Option("--sidecar", help="Say it in a file beside each result too (NAME.png.xmp).", rich_help_panel=_PANEL),
]
C2paOption = Annotated[
    str | None,
    typer.Option(
        "--c2pa",
        metavar="CERTS,KEY",
        help="Sign results (Content Credentials) with these PEM files; ,URL: with time stamps of that server.",
        rich_help_panel=_PANEL,
    ),
]
InventedOption = Annotated[
    str | None,
    typer.Option(
        "--invented",
        metavar="MAP.png|FOLDER/",
        help="Write a map of what was made up: how much of each place the picture does not vouch for.",
        rich_help_panel="Result",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print a JSON object per picture to standard output.", rich_help_panel=_PANEL),
]
