"""Curves of a run's validations, and the style of all our plots.

Drawn without pyplot, which keeps figures in a global list.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError
from upres.training.monitoring.contact_sheet import render, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = "validation.jsonl"
_RED, _GREEN, _BLUE, _GRAY = "#d1495b", "#2e933c", "#2274a5", "#8a8f98"
_DASHED = ", dashed"


def read_validations(run_folder: Path, *, may_be_empty: bool = False) -> list[dict[str, Any]]:
    """The rows of `validation.jsonl`, sorted by step. The last row of a step counts (it is measured again after
    resuming), and a truncated last line is ignored. Raises `DataError` for a file without rows, or an invalid line.
    """
    path = run_folder / CURVE
    if not path.is_file():
        raise DataError(f"{run_folder} holds no {CURVE}: the first validation of a run writes it")
    *lines, _torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: line {number} is not a validation ({line[:60]!r}): remove it") from error
    if not rows and not may_be_empty:
        raise DataError(f"{path} holds no validations: the first one of a run writes to it")
    return [rows[step] for step in sorted(rows)]


def plot_curves(run_folder: Path) -> Path:
    """Plot `validation.jsonl` over the steps, one panel per measure; returns the path of `curves.png`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    rows = read_validations(run_folder)
    steps = [row["step"] for row in rows]

    def series(name: str, channel: int | None = None) -> NDArray[np.float64]:
        values = [row.get(name) for row in rows]
        picked = [value if channel is None or value is None else value[channel] for value in values]
        return np.array(
            [value if value is not None and math.isfinite(value) else np.nan for value in picked], np.float64
        )

    shift = "color_shift_255"
    panels: list[tuple[str, str, dict[str, tuple[NDArray[np.float64], str]]]] = [
        ("PSNR (Y), dB", "higher is better", {"": (series("psnr_y"), _BLUE)}),
        ("LR-PSNR, dB", "fidelity to the LR picture: higher is better", {"": (series("lr_psnr"), _BLUE)}),
        ("feature distance", "lower is better", {"": (series("feature_distance"), _BLUE)}),
        ("NIQE", "lower is better", {"": (series("niqe"), _BLUE)}),
        (
            "color shift, 8-bit levels", "mean of SR minus that of HR: 0 is best",
            {name: (series(shift, i), (_RED, _GREEN, _BLUE)[i]) for i, name in enumerate("RGB")},
        ),
        (
            "pattern of 2 and 4 px", "energy relative to HR; dashed: to its neighbors in the spectrum",
            {
                "2 px": (series("lattice_2"), _RED), "4 px": (series("lattice_4"), _BLUE),
                "2 px" + _DASHED: (series("contrast_2"), _RED), "4 px" + _DASHED: (series("contrast_4"), _BLUE),
            },
        ),
    ]  # fmt: skip
    panels = [panel for panel in panels if any(np.isfinite(values).any() for values, _ in panel[2].values())]
    columns = min(3, len(panels)) if len(panels) != 4 else 2
    lines = math.ceil(len(panels) / columns)
    layout = ConstrainedLayoutEngine(wspace=0.05, hspace=0.06)
    figure = Figure(figsize=(4.4 * columns, 3.1 * lines), dpi=110, facecolor="white", layout=layout)
    for axes, (title, what, curves) in zip(figure.subplots(lines, columns, squeeze=False).flat, panels, strict=False):
        _draw(axes, steps, title, what, curves)
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    path = run_folder / "curves.png"
    write_png(path, render(FigureCanvasAgg(figure)))
    return path


def _short(value: float, _: int | None) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _draw(
    axes: Axes, steps: list[int], title: str, what: str, curves: Mapping[str, tuple[NDArray[np.float64], str]]
) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    style(axes, title, what)
    for name, (values, color) in curves.items():
        dashed = name.endswith(_DASHED)
        axes.plot(
            steps, values, color=color, linewidth=1.1 if dashed else 1.6, linestyle="--" if dashed else "-", marker="o",
            markersize=0 if dashed or len(steps) > 30 else 3.5, label=None if dashed or not name else name,
        )  # fmt: skip
    if "R" in curves:
        axes.axhspan(-0.5, 0.5, color=_GRAY, alpha=0.15, linewidth=0)
        axes.axhline(0.0, color=_GRAY, linewidth=0.8)
    if "2 px" in curves:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.axhline(1.0, color=_GRAY, linewidth=0.8)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="best", handlelength=1.2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    axes.set_xlabel("step", fontsize=8, color="#5f6368")


def style(axes: Axes, title: str, what: str) -> None:
    """The style of all our plots: a title, its explanation, a light grid, no box."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20)
    axes.annotate(what, (0.0, 1.0), (0.0, 6.0), "axes fraction", "offset points", fontsize=8.5, color="#5f6368")
    axes.grid(True, color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b6bbc2")
    axes.tick_params(labelsize=8, color="#b6bbc2", labelcolor="#3c4043")
