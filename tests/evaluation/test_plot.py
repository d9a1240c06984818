"""Plots of a report: which points there are, and the files."""

from __future__ import annotations

import math

import pytest

from tests.evaluation.test_report import report
from upres.errors import InputError, UsageError
from upres.evaluation.costs import Costs, ModelFacts
from upres.evaluation.plot import draw_plot, panels
from upres.evaluation.report import Report
from upres.evaluation.scores import Scores
from upres.evaluation.statistics import bootstrap_interval


def made() -> Report:
    whole = report("one")
    one = whole.sets["s"]
    one.protocol["columns"]["niqe"] = "NIQE"
    for index, model in enumerate(("bicubic", "one", "$two_")):
        one.scores[model] = {
            file: Scores(28.0 + index + place, 0.8, 27.0, 0.8, niqe=7.0 - index) for place, file in enumerate("ab")
        }
        if index:
            one.costs[model] = Costs(index, 1.0)
            whole.facts[model] = ModelFacts((), 1000 * index, 1.0)
    return whole


def test_points_are_the_means_with_their_intervals() -> None:
    speed, size, perception = panels(made())
    assert [point.model for point in speed.points] == ["one", "$two_"]  # bicubic has no time
    low, high = bootstrap_interval([29.0, 30.0]) or (math.nan, math.nan)
    assert speed.points[0].x == (1.0, 1.0, 1.0) and speed.points[0].y == (29.5, low, high)
    assert [point.x[0] for point in size.points] == [1000.0, 2000.0]
    assert [point.model for point in perception.points] == ["bicubic", "one", "$two_"]
    assert perception.points[2].y == (5.0, 5.0, 5.0) and perception.y == "NIQE\n(lower is better)"


def test_steps_of_a_run_are_a_curve_and_cost_what_the_last_does() -> None:
    whole = made()
    one = whole.sets["s"]
    for index, model in enumerate(("runs/a@20", "runs/a@100", "runs/b@20")):
        one.scores[model] = {file: Scores(30.0 + index, 0.8, 27.0, 0.8, niqe=6.0 - index) for file in "ab"}
        one.costs[model] = Costs(3.0, 1.0)
        whole.facts[model] = ModelFacts((), 3000, 1.0)
    speed, size, perception, curve, judged = panels(whole)
    assert [point.model for point in speed.points] == ["one", "$two_", "runs/a@100", "runs/b@20"]
    assert [point.model for point in size.points] == [point.model for point in speed.points]
    assert [point.model for point in perception.points][-3:] == ["runs/a@20", "runs/a@100", "runs/b@20"]
    assert (curve.x, curve.y) == ("step", "PSNR (Y, border 4)")
    assert [(point.model, point.x[0], point.y[0]) for point in curve.points] == [
        ("runs/a@20", 20.0, 30.0), ("runs/a@100", 100.0, 31.0),
    ]  # fmt: skip  # one step of b is no curve
    assert judged.y == "NIQE\n(lower is better)" and [point.y[0] for point in judged.points] == [6.0, 5.0]
    svg = draw_plot(whole, "p.svg").decode()
    assert ">step<" in svg and "a@100" in svg and "runs/a" not in svg


def test_png_and_svg() -> None:
    assert draw_plot(made(), "p.png").startswith(b"\x89PNG")
    svg = draw_plot(made(), "p.SVG")
    assert b"$two_" in svg and b"seconds per megapixel" in svg and svg == draw_plot(made(), "p.svg")


def test_what_cannot_be_plotted_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`plot` must end in \.png or \.svg, got p\.pdf"):
        draw_plot(made(), "p.pdf")
    with pytest.raises(InputError, match="there is nothing to plot"):
        panels(report())  # one finite model, no costs of another
