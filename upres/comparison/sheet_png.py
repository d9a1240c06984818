"""Draw a contact sheet as pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.comparison.sheet import Drawing, Label
from upres.comparison.vips import draw_text
from upres.evaluation.pictures import Levels

# background, text, faint text, frames
_DARK = ((0x20, 0x21, 0x24), (0xE8, 0xEA, 0xED), (0x9A, 0xA0, 0xA6), (0xFF, 0xC4, 0x00))
_PAPER = ((0xFF, 0xFF, 0xFF), (0x00, 0x00, 0x00), (0x55, 0x55, 0x55), (0xE0, 0x30, 0x20))
FRAME_PX = 2


def draw_sheet(drawing: Drawing) -> Levels:
    """The sheet, uint8 `h w 3`. Pictures are copied pixel for pixel, enlarged by whole factors only."""
    paper, ink, faint, frame = _PAPER if drawing.paper else _DARK
    sheet = np.empty((drawing.height, drawing.width, 3), np.uint8)
    sheet[:] = paper
    for placed in drawing.pictures:
        levels = placed.levels.repeat(placed.zoom, axis=0).repeat(placed.zoom, axis=1)
        sheet[placed.top : placed.top + levels.shape[0], placed.left : placed.left + levels.shape[1]] = levels
    for box in drawing.frames:
        part = sheet[box.top : box.top + box.height, box.left : box.left + box.width]
        part[:FRAME_PX] = part[-FRAME_PX:] = part[:, :FRAME_PX] = part[:, -FRAME_PX:] = frame
    for label in drawing.labels:
        _write(sheet, label, faint if label.faint else ink)
    return sheet


def _write(sheet: Levels, label: Label, color: tuple[int, int, int]) -> None:
    mask = draw_text(label.text, label.size_px, label.bold)
    top, left = label.top + mask.top, label.left + mask.left
    part = sheet[top : top + mask.coverage.shape[0], left : left + mask.coverage.shape[1]]
    share: NDArray[np.float32] = mask.coverage[: part.shape[0], : part.shape[1], None].astype(np.float32) / 255.0
    part[:] = np.rint(part * (1.0 - share) + np.asarray(color, np.float32) * share).astype(np.uint8)
