"""Contact sheets: captioned pictures side by side, pixel for pixel, in one 8-bit picture.

matplotlib draws text and curves with its own font; pictures are copied in, enlarged by whole factors only, so that
nothing is filtered. matplotlib and the codecs are imported when something is drawn: training works without them.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from upres.images.picture import Picture
from upres.training.data.images import Levels as AnyLevels
from upres.training.data.images import convert

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.font_manager import FontProperties

Levels = NDArray[np.uint8]

PAPER, INK, FAINT = "#202124", "#e8eaed", "#9aa0a6"  # on dark gray, pictures are the brightest part
_DPI = 100
_FONT = "DejaVu Sans"
_WORDS_PX = 13  # height of letters
_LINE_PX = 24  # height of a caption
_GAP_PX = 10
_EDGE_PX = 14
_TITLE_PX = 34
_PANEL_PX = 256  # smaller panels are enlarged by a whole factor to about this


@dataclass(frozen=True)
class Panel:
    """A picture `h w c`, shown as 8-bit RGB, with a `caption` at the left and a fainter `note` at the right."""

    image: AnyLevels
    caption: str
    note: str = ""


def contact_sheet(rows: Sequence[Sequence[Panel]], title: str) -> Levels:
    """Rows of panels under a title: uint8 `h w 3`. Columns are aligned at the left, rows at the top."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widest = max(max(panel.image.shape[:2]) for row in rows for panel in row)
    zoom = max(1, _PANEL_PX // widest)
    images = [[enlarge_nearest(convert(panel.image, 3, 8), zoom) for panel in row] for row in rows]
    columns = max(len(row) for row in rows)
    widths = [max(row[i].shape[1] for row in images if i < len(row)) for i in range(columns)]
    heights = [_LINE_PX + max(image.shape[0] for image in row) for row in images]
    lefts = [_EDGE_PX + sum(widths[:i]) + i * _GAP_PX for i in range(columns)]
    tops = [_TITLE_PX + _GAP_PX + sum(heights[:i]) + i * _GAP_PX for i in range(len(rows))]
    size = (tops[-1] + heights[-1] + _EDGE_PX, lefts[-1] + widths[-1] + _EDGE_PX)

    figure = Figure(figsize=((size[1] + 0.01) / _DPI, (size[0] + 0.01) / _DPI), dpi=_DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)

    def write(
        text: str,
        left: float,
        bottom: float,
        room: float,
        align: str = "left",
        color: str = INK,
        weight: str = "normal",
    ) -> float:
        """Draw text that ends above `bottom`, shortened to `room` pixels; returns its width."""
        text = _cut(canvas, text, room, weight)
        figure.text(
            left / size[1], 1.0 - (bottom - 7) / size[0], text, ha=align, va="baseline", color=color,
            fontsize=_WORDS_PX * 72 / _DPI, fontfamily=_FONT, fontweight=weight, parse_math=False,
        )  # fmt: skip
        return _width(canvas, text, weight)

    write(title, _EDGE_PX, _TITLE_PX, size[1] - 2 * _EDGE_PX, weight="bold")
    for row, top in zip(rows, tops, strict=True):
        for panel, left, width in zip(row, lefts, widths, strict=False):
            used = write(panel.caption, left, top + _LINE_PX, width)
            write(panel.note, left + width, top + _LINE_PX, width - used - 2 * _GAP_PX, "right", FAINT)
    sheet = render(canvas)
    for row, top in zip(images, tops, strict=True):
        for image, left in zip(row, lefts, strict=False):
            sheet[top + _LINE_PX : top + _LINE_PX + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def render(canvas: FigureCanvasAgg) -> Levels:
    """The pixels of a figure, uint8 `h w 3`, writable."""
    canvas.draw()
    return np.array(canvas.buffer_rgba(), np.uint8)[:, :, :3].copy()


def write_png(path: Path, levels: Levels) -> None:
    """Write uint8 `h w 3` as a PNG, atomically, creating its folder. Raises `OutputError`."""
    from upres.images.io import write_picture

    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(Picture(levels.astype(np.float32) / np.float32(255.0)), path)


def enlarge_nearest(lr: AnyLevels, factor: int) -> AnyLevels:
    """Enlarge every pixel to `factor` x `factor`."""
    return lr.repeat(factor, axis=0).repeat(factor, axis=1)


@cache
def _letters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())


@cache
def _font(weight: str) -> FontProperties:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=_FONT, size=_WORDS_PX * 72 / _DPI, weight=weight)


def missing_to_plot() -> list[str]:
    """The libraries that plotting needs and this machine lacks."""
    return [name for name in ("matplotlib", "pyvips") if find_spec(name) is None]


def in_font(text: str) -> str:
    """`text` with a white square for each letter that the font lacks (Chinese names): matplotlib would warn of it."""
    return "".join(letter if ord(letter) in _letters() else "□" for letter in text)


def _width(canvas: FigureCanvasAgg, text: str, weight: str) -> float:
    width, _, _ = canvas.get_renderer().get_text_width_height_descent(text, _font(weight), ismath=False)
    return float(width)


def _cut(canvas: FigureCanvasAgg, text: str, room: float, weight: str) -> str:
    """`text`, shortened in the middle to fit into `room` pixels."""
    whole = text = in_font(text)
    kept = len(whole)
    while kept > 0 and _width(canvas, text, weight) > room:
        kept -= 1
        text = f"{whole[: kept - kept // 2]}…{whole[len(whole) - kept // 2 :]}"
    return text
