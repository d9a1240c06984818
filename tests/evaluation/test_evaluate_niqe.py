"""NIQE among the scores: a column, and HR in a row of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_evaluate import levels, nearest, smooth
from tests.tiny import noise, picture
from upres.evaluation.evaluate import evaluate
from upres.evaluation.tables import format_table
from upres.images.io import write_picture
from upres.images.pairing import find_pairs
from upres.images.resize import imresize
from upres.metrics.niqe import PARAMETERS, NiqeParameters, load_parameters, niqe


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    """Two pictures, one of them of odd size."""
    path = tmp_path / "hr"
    path.mkdir()
    write_picture(picture(smooth(41, 51)), path / "a.png")
    write_picture(picture(smooth(40, 36, seed=1)), path / "b.png")
    return path


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two rough pictures of 2x2 and of 2x3 blocks of NIQE, with a border of 2."""
    path = tmp_path / "large"
    path.mkdir()
    for name, width in (("a.png", 201), ("b.png", 300)):
        write_picture(
            picture(np.clip(smooth(203, width, seed=width) + noise(203, width, 3, seed=1) * 0.1, 0, 1)), path / name
        )
    return path


@pytest.fixture
def parameters(tmp_path: Path) -> NiqeParameters:
    """Made ones, as they come from a file: parameters.npz."""
    rng = np.random.default_rng(0)
    line = np.exp(-(np.arange(-3, 4) ** 2) / 2.7)
    arrays = {
        "mu_pris_param": rng.normal(size=(1, 36)),
        "cov_pris_param": np.eye(36),
        "gaussian_window": np.outer(line, line) / line.sum() ** 2,
    }
    np.savez(tmp_path / "parameters.npz", **arrays)
    return load_parameters(tmp_path / "parameters.npz")


def test_niqe_is_a_column_and_hr_a_row_of_its_own(large: Path, parameters: NiqeParameters) -> None:
    result = evaluate(find_pairs(large, None, 2), {"nearest": nearest()}, scale=2, niqe=parameters)
    high = levels(large / "b.png")[:202]
    enlarged = imresize(high, size=(101, 150)).repeat(2, axis=0).repeat(2, axis=1)
    assert result.scores["nearest"]["b.png"].niqe == niqe(enlarged[2:-2, 2:-2], parameters)
    assert result.reference["b.png"] == niqe(high[2:-2, 2:-2], parameters)
    rows = result.scores["bicubic"]
    assert result.means()["bicubic"].niqe == pytest.approx((rows["a.png"].niqe + rows["b.png"].niqe) / 2, abs=1e-12)  # type: ignore[operator]
    assert rows["a.png"].lr_psnr is None
    lines = format_table(result).splitlines()
    assert (
        lines[2]
        == f"NIQE: Y rounded, border 2, blocks 96x96, parameters with the SHA-256 {parameters.sha256}; hr is HR itself"
    )
    assert lines[4].endswith("NIQE (Y rounded, border 2)")
    assert [line.split()[-6] for line in lines[5:]] == ["bicubic", "nearest", "hr"] * 3
    mean = sum(result.reference.values()) / 2
    assert lines[-1].split() == ["hr", "-", "-", "-", "-", f"{mean:.2f}"]
    assert len({len(line) for line in lines[4:]}) == 1
    figures = result.to_json()
    assert set(figures) == {"protocol", "models", "hr"}
    assert figures["hr"] == {
        "mean": {"niqe": mean},
        "images": {name: {"niqe": value} for name, value in result.reference.items()},
    }
    assert set(figures["models"]["nearest"]["mean"]) == {"psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb", "niqe"}


def test_the_authors_parameters_are_called_so(large: Path, parameters: NiqeParameters) -> None:
    theirs = NiqeParameters(parameters.mean, parameters.covariance, parameters.window, PARAMETERS.sha256 or "")
    assert (
        "96x96, the authors' parameters;"
        in evaluate(find_pairs(large, None, 2), {}, scale=2, niqe=theirs).protocol["niqe"]
    )


def test_a_picture_too_small_for_niqe_is_in_no_row(large: Path, parameters: NiqeParameters) -> None:
    write_picture(picture(smooth(40, 300)), large / "c.png")
    result = evaluate(find_pairs(large, None, 2), {"nearest": nearest()}, scale=2, niqe=parameters)
    assert list(result.failed) == ["c.png"] and "NIQE needs at least one 96x96 block" in result.failed["c.png"]
    assert (
        list(result.reference) == list(result.scores["bicubic"]) == list(result.scores["nearest"]) == ["a.png", "b.png"]
    )
