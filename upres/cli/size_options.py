"""Options of the verbs that enlarge: the size of the result, and how much of the network is in it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

RESULT_PANEL, LOOK_PANEL = "Result", "Look"


class Chroma(StrEnum):
    """Resolution of color in a JPEG."""

    full = "444"
    half = "420"


WidthOption = Annotated[
    int | None,
    typer.Option(
        "--width", metavar="PX", help="Output width; with --height, fit inside the box.", rich_help_panel=RESULT_PANEL
    ),
]
HeightOption = Annotated[
    int | None,
    typer.Option(
        "--height", metavar="PX", help="Output height; with --width, fit inside the box.", rich_help_panel=RESULT_PANEL
    ),
]
LongSideOption = Annotated[
    int | None,
    typer.Option("--long-side", metavar="PX", help="Longer side of the output.", rich_help_panel=RESULT_PANEL),
]
MegapixelsOption = Annotated[
    float | None,
    typer.Option("--megapixels", metavar="MP", help="Output size in millions of pixels.", rich_help_panel=RESULT_PANEL),
]
BlendOption = Annotated[
    float,
    typer.Option(
        "--blend",
        metavar="0..1",
        help="Mix with a cubic resize: 1 is the network alone, 0 the resize.",
        rich_help_panel=LOOK_PANEL,
    ),
]
