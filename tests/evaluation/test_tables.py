"""Means over pictures, and the table that names its protocol, its pictures and its rows."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.evaluation.test_evaluate import (
    hr,  # noqa: F401  # a fixture, which pytest finds by name
    nearest,
)
from upres.evaluation.evaluate import evaluate
from upres.evaluation.scores import Scores, mean_scores
from upres.evaluation.tables import format_table
from upres.images.pairing import find_pairs


def test_five_pictures_of_30_db_have_a_mean_of_30_db() -> None:
    assert mean_scores([Scores(30.0, 0.5, 29.0, 0.4)] * 5) == Scores(30.0, 0.5, 29.0, 0.4)
    assert mean_scores([Scores(math.inf, 1.0, 30.0, 1.0), Scores(30.0, 1.0, 30.0, 1.0)]).psnr_y == math.inf
    with pytest.raises(ValueError, match="no scores"):
        mean_scores([])


def test_the_table_names_protocol_pictures_and_rows(hr: Path) -> None:
    result = evaluate(find_pairs(hr, None, 2), {"nearest": nearest()}, scale=2)
    lines = format_table(result).splitlines()
    assert lines[0].startswith(
        "x2, 2 pictures; HR cropped to a multiple of 2, top left kept; LR: MATLAB-equal cubic resize"
    )
    assert "BT.601 studio range, not rounded" in lines[1]
    assert lines[3].split("  ")[0] == "picture"
    for column in ("PSNR (Y, border 2)", "SSIM (Y, border 2)", "PSNR (RGB, border 2)", "SSIM (RGB, border 2)"):
        assert column in lines[3]
    assert [line.split()[:2] for line in lines[4::2]] == [
        ["a.png", "bicubic"],
        ["b.png", "bicubic"],
        ["mean", "bicubic"],
    ]
    assert [line.split()[0] for line in lines[5::2]] == ["nearest"] * 3
    assert len({len(line) for line in lines[3:]}) == 1
    mean = result.means()["nearest"]
    assert lines[-1].split()[1:] == [
        f"{mean.psnr_y:.2f}",
        f"{mean.ssim_y:.4f}",
        f"{mean.psnr_rgb:.2f}",
        f"{mean.ssim_rgb:.4f}",
    ]
