"""The table of a `VideoEvaluation`."""

from __future__ import annotations

import math
from typing import Any

from upres.evaluation.summary import Cell, Table
from upres.evaluation.videos import VideoEvaluation

# field of VideoScores -> decimals
_DECIMALS = {"psnr_y": 2, "ssim_y": 4, "psnr_rgb": 2, "ssim_rgb": 4, "flicker": 2, "vmaf": 2}


def video_table(name: str, evaluation: VideoEvaluation) -> Table:
    """A row for each version; the best of each column is marked. name: Of the video."""
    columns: dict[str, str] = evaluation.protocol["columns"]
    best: dict[str, float] = {}
    for column in columns:
        known = [value for row in evaluation.scores.values() if (value := getattr(row, column)) is not None]
        if known and column != "flicker":  # a smooth picture does not flicker: less is not better by itself
            best[column] = max(known)
    rows = [
        [Cell(name), Cell(version), *(_cell(getattr(row, column), column, best) for column in columns)]
        for version, row in evaluation.scores.items()
    ]
    return Table(["video", "version", *columns.values()], rows, [_words(evaluation.protocol, evaluation.frames)])


def _cell(value: float | None, column: str, best: dict[str, float]) -> Cell:
    if value is None:
        return Cell("-")
    text = f"{value:.{_DECIMALS[column]}f}" if math.isfinite(value) else "inf"
    return Cell(text, best=column in best and value == best[column])


def _words(protocol: dict[str, Any], frames: int) -> str:
    parts = [f"{frames:,} frames, {protocol['frames']}", f"LR: {protocol['lr']}", f"flicker: {protocol['flicker']}"]
    return "; ".join([*parts, *([f"VMAF: {protocol['vmaf']}"] if "vmaf" in protocol else [])])
