"""Curves: the rows of validation.jsonl as they are after resumptions and crashes, and a picture of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from upres.errors import DataError
from upres.images.io import read_header, read_picture
from upres.training.monitoring.curves import plot_curves, read_validations


def row(step: int, **figures: Any) -> str:
    return json.dumps({"step": step, "psnr_y": 30.0 + step / 100.0, "time": 0.0, **figures}) + "\n"


FULL = {
    "lr_psnr": 44.0, "feature_distance": 0.2, "niqe": 5.0, "color_shift_255": [0.1, -0.2, 0.6], "lattice_2": 0.5,
    "lattice_4": 0.7, "contrast_2": 1.5, "contrast_4": 30.0,
}  # fmt: skip


def test_the_last_row_of_a_step_counts_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "validation.jsonl"
    path.write_text(row(10) + row(20) + row(30) + row(20, psnr_y=1.0) + '{"step": 40, "ps')
    assert [(r["step"], r["psnr_y"]) for r in read_validations(tmp_path)] == [(10, 30.1), (20, 1.0), (30, 30.3)]


def test_what_is_no_row_is_refused_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no validation\.jsonl"):
        read_validations(tmp_path)
    path = tmp_path / "validation.jsonl"
    path.write_text("")
    with pytest.raises(DataError, match="holds no validations"):
        plot_curves(tmp_path)
    for wrong in ("nonsense\n", '{"psnr_y": 3}\n', "[1]\n", "7\n"):
        path.write_text(row(10) + wrong + row(20))
        with pytest.raises(DataError, match=r"line 2 is not a validation \("):
            read_validations(tmp_path)


@pytest.mark.slow
def test_a_panel_for_every_figure_that_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "validation.jsonl"
    sizes: list[tuple[int, int]] = []
    for figures in ({}, {"lr_psnr": 44.0, "niqe": None}, FULL):
        path.write_text("".join(row(step, **figures) for step in range(500, 3000, 500)))
        header = read_header(plot_curves(tmp_path))
        sizes.append((header.height, header.width))
    assert sizes[0][0] == sizes[1][0] == pytest.approx(sizes[2][0] / 2, abs=1)
    assert [width for _, width in sizes] == pytest.approx([sizes[0][1], 2 * sizes[0][1], 3 * sizes[0][1]], abs=2)


def test_curves_are_drawn_over_values_that_are_missing_or_infinite(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").write_text(
        row(1000, **FULL)
        + row(2000, psnr_y=None, lr_psnr=float("inf"), color_shift_255=None)
        + row(3000, **{**FULL, "lattice_4": None})
    )
    pixels = read_picture(plot_curves(tmp_path)).pixels
    assert pixels.shape[2] == 3 and np.ptp(pixels) > 0.5
