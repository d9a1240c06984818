"""Plots of a report: quality against speed and size, perception against distortion, with their intervals."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from upres.errors import InputError, UsageError
from upres.evaluation.report import Report
from upres.evaluation.scores import LOWER_IS_BETTER
from upres.evaluation.statistics import bootstrap_interval
from upres.evaluation.tables import Evaluation
from upres.system.packages import need

_PERCEPTION = ("lpips", "dists", "niqe")  # the first that was measured
_PANEL_IN = (4.6, 3.6)


@dataclass(frozen=True, slots=True)
class Point:
    """A model in a panel. x and y are (value, low, high); without an interval all three are equal."""

    model: str
    x: tuple[float, float, float]
    y: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """A set of points; those of one run's steps are joined. log: The horizontal axis is logarithmic."""

    title: str
    x: str
    y: str
    points: list[Point]
    log: bool = False


def panels(report: Report) -> list[Panel]:
    """For each set: PSNR (Y) against seconds per megapixel, against parameters, against a perceptual score, and over
    the steps of training where several of a run were measured (`RUN@STEP`). These cost alike: where cost counts,
    the last stands for its run.

    Panels with fewer than two points are left out. Raises `InputError` if none is left.
    """
    made: list[Panel] = []
    for name, evaluation in report.sets.items():
        quality = next((column for column in ("psnr_y", "lr_psnr") if column in evaluation.columns), None)
        if quality is None:
            continue
        head = evaluation.columns[quality]

        def seconds(model: str, evaluation: Evaluation = evaluation) -> float | None:
            cost = evaluation.costs.get(model)
            return None if cost is None else cost.seconds_per_megapixel

        def size(model: str) -> float | None:
            facts = report.facts.get(model)
            return None if facts is None else float(facts.parameters)

        made.append(Panel(name, "seconds per megapixel", head, _against(evaluation, quality, seconds), log=True))
        made.append(Panel(name, "parameters", head, _against(evaluation, quality, size), log=True))
        seen = next((column for column in _PERCEPTION if column in evaluation.columns), None)
        if seen is not None:
            points = [
                Point(model, x, y)
                for model in evaluation.scores
                if (x := _figure(evaluation, model, quality)) and (y := _figure(evaluation, model, seen))
            ]
            better = "\n(lower is better)" if seen in LOWER_IS_BETTER else ""
            made.append(Panel(name, head, evaluation.columns[seen] + better, points))
        made += [Panel(name, "step", *curve) for curve in _curves(evaluation, [quality, *([seen] if seen else [])])]
    kept = [panel for panel in made if len(panel.points) > 1]
    if not kept:
        raise InputError("there is nothing to plot: it takes two models or more, measured on one set")
    return kept


def _curves(evaluation: Evaluation, columns: list[str]) -> list[tuple[str, list[Point]]]:
    """(head, points) of each column over the steps of the runs of which several were measured."""
    steps = [
        (model, float(of[1])) for model in evaluation.scores if (of := _step_of(model)) and _several(evaluation, of[0])
    ]
    curves: list[tuple[str, list[Point]]] = []
    for column in columns:
        found = ((model, step, _figure(evaluation, model, column)) for model, step in steps)
        points = [Point(model, (step, step, step), y) for model, step, y in found if y is not None]
        better = "\n(lower is better)" if column in LOWER_IS_BETTER else ""
        curves.append((evaluation.columns[column] + better, points))
    return curves


def _step_of(model: str) -> tuple[str, int] | None:
    """(run, step) of a name RUN@STEP."""
    run, at, step = model.rpartition("@")
    return (run, int(step)) if at and step.isdecimal() else None


def _kind(model: str) -> str:
    of = _step_of(model)
    return model if of is None else of[0]


def _step(point: Point) -> int:
    of = _step_of(point.model)
    return 0 if of is None else of[1]


def _several(evaluation: Evaluation, run: str) -> bool:
    return sum(of is not None and of[0] == run for of in map(_step_of, evaluation.scores)) > 1


def _is_last(evaluation: Evaluation, model: str) -> bool:
    """Whether no later step of its run was measured."""
    of = _step_of(model)
    return of is None or all(
        other is None or other[0] != of[0] or other[1] <= of[1] for other in map(_step_of, evaluation.scores)
    )


def _against(evaluation: Evaluation, quality: str, cost: Callable[[str], float | None]) -> list[Point]:
    points: list[Point] = []
    for model in evaluation.scores:
        if not _is_last(evaluation, model):
            continue
        x, y = cost(model), _figure(evaluation, model, quality)
        if x is not None and x > 0.0 and y is not None:
            points.append(Point(model, (x, x, x), y))
    return points


def _figure(evaluation: Evaluation, model: str, column: str) -> tuple[float, float, float] | None:
    values = evaluation.values(model, column)
    if not values or not all(map(math.isfinite, values)):
        return None
    mean = math.fsum(values) / len(values)
    low, high = bootstrap_interval(values) or (mean, mean)
    return mean, low, high


def check_plot(file_name: str) -> None:
    """Raises `UsageError` for another suffix than .png and .svg, `EngineError` where matplotlib is missing."""
    if PurePath(file_name).suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"`plot` must end in .png or .svg, got {file_name}")
    need("`plot`", "train", "matplotlib")


def draw_plot(report: Report, file_name: str) -> bytes:
    """The file, a PNG or an SVG by its suffix: a row for each set. Raises as `panels` and `check_plot` do."""
    check_plot(file_name)
    drawn = panels(report)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = list(dict.fromkeys(panel.title for panel in drawn))
    rows = [[panel for panel in drawn if panel.title == title] for title in titles]
    columns = max(map(len, rows))
    figure = Figure(figsize=(_PANEL_IN[0] * columns, _PANEL_IN[1] * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, panels_of_set in enumerate(rows):
        for column, panel in enumerate(panels_of_set):
            _draw(figure.add_subplot(len(rows), columns, row * columns + column + 1), panel, report.models)
    out = io.BytesIO()
    suffix = PurePath(file_name).suffix.lower()[1:]
    with matplotlib.rc_context({"svg.hashsalt": "upres", "svg.fonttype": "none"}):  # equal reports give equal files
        figure.savefig(out, format=suffix, dpi=150, metadata={"Date": None} if suffix == "svg" else None)
    return out.getvalue()


def _draw(axes: Any, panel: Panel, models: list[str]) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_title(panel.title, parse_math=False)
    axes.set_xlabel(panel.x, parse_math=False)
    axes.set_ylabel(panel.y, parse_math=False)
    axes.grid(alpha=0.3)
    if panel.log:
        axes.set_xscale("log")
        values = [point.x[0] for point in panel.points]
        axes.set_xlim(min(values) / 2, max(values) * 3)  # room for labels; a decade or so, which has ticks
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    runs: dict[str, list[Point]] = {}
    for point in panel.points:
        if (of := _step_of(point.model)) is not None:
            runs.setdefault(of[0], []).append(point)
    kinds = list(dict.fromkeys(map(_kind, models)))  # a run has one color
    for run, steps in runs.items():
        steps.sort(key=_step)
        color = f"C{kinds.index(run) % 10}"
        axes.plot([point.x[0] for point in steps], [point.y[0] for point in steps], color=color, linewidth=1)
    for point in panel.points:
        errors = [[[value - low], [high - value]] for value, low, high in (point.x, point.y)]
        color = f"C{kinds.index(_kind(point.model)) % 10}"
        axes.errorbar(
            point.x[0], point.y[0], xerr=errors[0], yerr=errors[1], fmt="o", capsize=3, markersize=6, color=color
        )
        label = _label(point.model, panel)
        axes.annotate(
            label, (point.x[0], point.y[0]), xytext=(6, 5), textcoords="offset points", fontsize=9, parse_math=False
        )
    axes.margins(x=0.22, y=0.12)


def _label(model: str, panel: Panel) -> str:
    """In a curve over steps the run's name, at its last step; elsewhere the step stands in the name."""
    of = _step_of(model)
    if of is not None:
        name = PurePath(of[0]).name
        if panel.x != "step":
            return f"{name}@{of[1]}"
        others = [other[1] for point in panel.points if (other := _step_of(point.model)) and other[0] == of[0]]
        return name if of[1] == max(others) else ""
    return PurePath(model).stem if "/" in model else model
