"""The layout of a contact sheet: for each picture an overview, and a row of crops at 100 % and one at 200 %.

A sheet is a `Drawing`: pictures, lines of text and frames at whole pixels, which `sheet_png` and `sheet_pdf` draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from upres.comparison.compare import LR, ComparedPicture, Version, label_of
from upres.comparison.crops import Box, check_inside, choose_box, difference_map
from upres.comparison.vips import fit_text
from upres.evaluation.pictures import Levels
from upres.images.resize import imresize
from upres.metrics.psnr_ssim import psnr, ssim
from upres.upscaling.invented import measured_range

CROP_PX = 256  # side of the crop at 100 %
NAME_PX, FIGURES_PX, TITLE_PX = 13.0, 12.0, 15.0  # heights of letters
_LINE_PX = 20  # of text
_GAP_PX = 10
_EDGE_PX = 16
_ZOOM_COLUMN_PX = 46
_LEAST_COLUMN_PX = 120
_OVERVIEW_PX = 280  # its greatest width
_BLOCK_GAP_PX = 28
_SSIM_WINDOW_PX = 11


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture on the sheet. levels: uint8 `h w 3`, each pixel drawn as `zoom` x `zoom`."""

    left: int
    top: int
    levels: Levels
    zoom: int = 1


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text whose letters stand below `top`."""

    left: int
    top: int
    text: str
    size_px: float
    bold: bool = False
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """An outline of 2 pixels around a rectangle."""

    left: int
    top: int
    height: int
    width: int


@dataclass(slots=True)
class Drawing:
    """What is drawn where, in pixels. paper: Black on white instead of light on dark."""

    height: int = 0
    width: int = 0
    paper: bool = False
    pictures: list[Placed] = field(default_factory=list[Placed])
    labels: list[Label] = field(default_factory=list[Label])
    frames: list[Frame] = field(default_factory=list[Frame])

    def write(
        self, left: int, top: int, text: str, room_px: float, size_px: float, *, bold: bool = False, faint: bool = False
    ) -> None:
        """Add a line, shortened to `room_px`; nothing for an empty one."""
        shown = fit_text(text, room_px, size_px, bold)
        if shown.strip():
            self.labels.append(Label(left, top, shown, size_px, bold, faint))


@dataclass(frozen=True, slots=True)
class _Row:
    zoom: int
    box: Box


def crop_figures(sr: Levels, hr: Levels) -> tuple[float, float | None]:
    """PSNR and SSIM on Y of a whole crop; SSIM None for a crop of less than 11 x 11 pixels."""
    large = min(sr.shape[:2]) >= _SSIM_WINDOW_PX
    return psnr(sr, hr, border=0, luma=True), ssim(sr, hr, border=0, luma=True) if large else None


def figures_text(figures: tuple[float, float | None]) -> str:
    """ "28.41 dB  0.8123"."""
    value, similarity = figures
    return f"{value:.2f} dB" + ("" if similarity is None else f"  {similarity:.4f}")


def cut_version(version: Version, box: Box, scale: int) -> Levels:
    """The crop of a version, in pixels of SR; LR by nearest neighbor."""
    if version.name != LR:
        return box.cut(version.levels)
    rows = np.arange(box.top, box.top + box.height) // scale
    columns = np.arange(box.left, box.left + box.width) // scale
    return version.levels[rows[:, None], columns]


def _figures_of(compared: ComparedPicture, box: Box) -> list[tuple[str, bool]]:
    """The figures of each version in a crop, and whether its PSNR is the highest; nothing for maps and HR itself."""
    hr = compared.hr
    assert hr is not None
    truth = box.cut(hr)
    shown = [version for version in compared.versions[:-1] if not version.map_of]
    made = [crop_figures(cut_version(version, box, compared.scale), truth) for version in shown]
    best = max(value for value, _ in made)
    rest = len(compared.versions) - len(made)
    return [*((figures_text(one), one[0] == best) for one in made), *(("", False),) * rest]


class ContactSheet:
    """Collects pictures, one block each; `finish` returns the drawing.

    title: The first line.
    labels: What to show instead of a version's name.
    paper: Only names, black on white.
    at: The crop at 100 %; None: a window of 256 x 256 where the models differ most.
    """

    def __init__(self, title: str, labels: dict[str, str], *, paper: bool = False, at: Box | None = None) -> None:
        self._labels, self._at = labels, at
        self._drawing = Drawing(paper=paper)
        self._bottom = _EDGE_PX
        self._measured = False
        self._maps: dict[str, str] = {}  # of each model with maps: how far they go
        if not paper:
            self._title = title
            self._bottom += 2 * _LINE_PX + _GAP_PX

    def add(self, compared: ComparedPicture) -> None:
        """Add a block below the others."""
        if self._at is not None:
            check_inside(self._at, compared)
        differences = difference_map(compared)
        large = self._at or choose_box(differences, (CROP_PX, CROP_PX))
        half = (max(1, large.height // 2), max(1, large.width // 2))
        rows = [_Row(1, large), _Row(2, choose_box(differences, half, large))]
        top, paper = self._bottom, self._drawing.paper
        if not paper:
            height, width = compared.size
            text = f"{compared.name}   {width // compared.scale} x {height // compared.scale}, x{compared.scale}"
            self._drawing.write(_EDGE_PX, top, text, 600, TITLE_PX, bold=True)
            top += _LINE_PX + 6
        measured = compared.hr is not None and not paper
        self._measured = self._measured or measured
        for one in compared.versions:
            if one.map_of:
                label = self._labels.get(one.map_of, one.map_of)
                self._maps[one.map_of] = measured_range(one.map_of).format(label)
        heights = [row.box.height * row.zoom + measured * _LINE_PX for row in rows]
        tops = [top + _LINE_PX, top + _LINE_PX + heights[0] + _GAP_PX]
        left = self._overview(compared, rows, tops[0] + measured * _LINE_PX, sum(heights) + _GAP_PX)
        if not paper:
            for row, row_top in zip(rows, tops, strict=True):
                line = row_top + measured * _LINE_PX
                self._drawing.write(left, line, f"{100 * row.zoom} %", _ZOOM_COLUMN_PX, FIGURES_PX, faint=True)
            left += _ZOOM_COLUMN_PX
        width = max(_LEAST_COLUMN_PX, *(row.box.width * row.zoom for row in rows))
        figures = [_figures_of(compared, row.box) if measured else None for row in rows]
        for index, version in enumerate(compared.versions):
            name = "LR (nearest)" if version.name == LR else label_of(version, self._labels)
            self._drawing.write(left, top, name, width, NAME_PX, bold=True)
            for row, row_top, texts in zip(rows, tops, figures, strict=True):
                if texts is not None:
                    text, best = texts[index]
                    self._drawing.write(left, row_top, text, width, FIGURES_PX, bold=best, faint=not best)
                crop = cut_version(version, row.box, compared.scale)
                self._drawing.pictures.append(Placed(left, row_top + measured * _LINE_PX, crop, row.zoom))
            left += width + _GAP_PX
        self._drawing.width = max(self._drawing.width, left - _GAP_PX + _EDGE_PX)
        self._bottom = tops[1] + heights[1] + _BLOCK_GAP_PX

    def _overview(self, compared: ComparedPicture, rows: Sequence[_Row], top: int, room: int) -> int:
        """Draw the whole picture, with frames around the crops; returns where the next column begins."""
        height, width = compared.size
        factor = min(1.0, _OVERVIEW_PX / width, room / height)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        levels = [version for version in compared.versions if not version.map_of][-1].levels
        self._drawing.pictures.append(Placed(_EDGE_PX, top, imresize(levels, size=size) if factor < 1.0 else levels))
        for row in rows:
            box = row.box
            edges = (round(box.top * factor), round(box.left * factor))
            self._drawing.frames.append(
                Frame(
                    _EDGE_PX + edges[1],
                    top + edges[0],
                    max(4, round((box.top + box.height) * factor) - edges[0]),
                    max(4, round((box.left + box.width) * factor) - edges[1]),
                )
            )
        return _EDGE_PX + _OVERVIEW_PX + _GAP_PX

    def finish(self) -> Drawing:
        """The whole sheet."""
        drawing = self._drawing
        room = drawing.width - 2 * _EDGE_PX
        if not drawing.paper:
            drawing.write(_EDGE_PX, _EDGE_PX, self._title, room, TITLE_PX, bold=True)
            text = "crops where the models differ most" if self._at is None else "crops as chosen"
            if self._measured:
                text += "; PSNR and SSIM of each crop: Y of BT.601, whole crop"
            if self._maps:
                text += f"; rank correlation of maps with the true error: {', '.join(self._maps.values())}"
            drawing.write(_EDGE_PX, _EDGE_PX + _LINE_PX, text, room, FIGURES_PX, faint=True)
        drawing.height = self._bottom - _BLOCK_GAP_PX + _EDGE_PX
        return drawing
