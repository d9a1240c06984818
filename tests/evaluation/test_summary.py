"""The table of a report in each of its formats."""

from __future__ import annotations

import csv
import io

import pytest

from tests.evaluation.test_report import report
from upres.errors import UsageError
from upres.evaluation.report import join_reports
from upres.evaluation.statistics import bootstrap_interval
from upres.evaluation.summary import as_csv, as_latex, as_markdown, as_text, differences, summary


def test_means_intervals_and_costs() -> None:
    table = summary(report())
    assert table.heads[:3] == ["set", "model", "PSNR (Y, border 4)"]
    assert table.heads[-4:] == ["s/MP", "MB/MP", "parameters", "GMAC/MP"]
    bicubic, model = table.rows
    assert [one.text for one in bicubic][:3] == ["s", "bicubic", "28.00"] and bicubic[-1].text == "-"
    low, high = bootstrap_interval([27.0, 28.0]) or (0.0, 0.0)
    assert model[4].plain == f"27.50 [{low:.2f}, {high:.2f}]" and model[4].best and not bicubic[4].best
    assert model[2].plain == "inf" and model[2].best
    assert [one.text for one in model[-4:]] == ["2.00", "3", "10", "0.0"]
    assert table.notes[0].startswith("s: x4, 2 pictures; HR cropped")


def test_differences_are_paired() -> None:
    table = differences(report(), "bicubic")
    (row,) = table.rows
    low, high = bootstrap_interval([1.0, 2.0]) or (0.0, 0.0)
    assert row[4].plain == f"+1.50 [{low:+.2f}, {high:+.2f}]"
    assert row[2].plain == "-"  # infinite
    assert row[3].text == "+0.1000"
    with pytest.raises(UsageError, match="`against` must be one of bicubic, m, got 'n'"):
        differences(report(), "n")


def test_text_names_a_set_once() -> None:
    lines = as_text(summary(report())).splitlines()
    assert lines[-2].split()[:2] == ["s", "bicubic"] and lines[-1].split()[0] == "m"
    assert lines[-3].startswith("set  model")


def test_markdown_and_latex_escape_names_and_mark_the_best() -> None:
    table = summary(report("a_b|100%"))
    markdown = as_markdown(table)
    assert r"| s | a\_b\|100% |" in markdown and "| **inf** |" in markdown
    assert markdown.splitlines()[1].startswith("|---|---|---:|")
    latex = as_latex(table)
    assert r"a\_b|100\%" in latex and r"\textbf{inf}" in latex and latex.count(r"\midrule") == 1
    assert latex.startswith(r"\begin{table}") and latex.endswith(r"\end{table}") and r"{\scriptsize [" in latex


def test_csv_has_bounds_and_plain_numbers() -> None:
    joined = join_reports([report("one"), report("two")])
    rows = list(csv.DictReader(io.StringIO(as_csv(summary(joined)))))
    assert [row["model"] for row in rows] == ["bicubic", "one", "two"]
    assert float(rows[1]["PSNR (RGB, border 4)"]) == 27.5
    assert float(rows[1]["PSNR (RGB, border 4) low"]) <= 27.5 <= float(rows[1]["PSNR (RGB, border 4) high"])
    assert rows[0]["s/MP"] == "" and rows[1]["protocol"].startswith("s: x4, 2 pictures")
