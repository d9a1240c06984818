"""`upres evaluate` as its users run it: its table, its JSON, its words and its exit codes."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_evaluate import hr, large, parameters  # noqa: F401  # fixtures, which pytest finds by name
from tests.tiny import compact_file, compact_state, picture
from upres.export.ncnn import write_ncnn
from upres.export.onnx import write_onnx
from upres.graph.architectures import graph_from_state_dict
from upres.images.io import write_picture
from upres.metrics.niqe import NiqeParameters
from upres.weights.read import write_safetensors

Run = Callable[..., tuple[str, str]]  # of the verb, with its arguments and `code`


@pytest.fixture
def run(upres: Callable[..., tuple[str, str]]) -> Run:
    return partial(upres, "evaluate")


def test_the_command_prints_the_table_and_writes_the_json(hr: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny.safetensors", 2, strength=0.01)
    target = tmp_path / "figures.json"
    out, err = run("--hr", hr, "--scale", 2, "-n", model, "--json", target)
    assert "PSNR (Y, border 2)" in out and "bicubic" in out and str(model) in out
    assert err == ""
    figures = json.loads(target.read_text())
    assert set(figures) == {"protocol", "models"}
    assert list(figures["models"]) == ["bicubic", str(model)]
    for model_figures in figures["models"].values():
        assert set(model_figures) == {"mean", "images"}
        assert list(model_figures["images"]) == ["a.png", "b.png"]
        for row in (model_figures["mean"], *model_figures["images"].values()):
            assert set(row) == {"psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"}
            assert all(isinstance(value, float) for value in row.values())
    assert figures["protocol"]["scale"] == 2
    assert figures["protocol"]["border_px"] == 2
    assert figures["protocol"]["failed"] == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "hr", "tiny.safetensors"]


def test_models_of_every_kind_are_measured(hr: Path, tmp_path: Path, run: Run) -> None:
    """One network as three files gives three equal rows; a blend of it with itself, and a chain of scale 4, are models
    like any other.
    """
    state = compact_state(2, strength=0.01)
    write_safetensors(tmp_path / "m.safetensors", state, {})
    write_ncnn(graph_from_state_dict(state), tmp_path / "m.param", tmp_path / "m.bin")
    write_onnx(graph_from_state_dict(state), tmp_path / "m.onnx", facts={"value_range": "0 1"})
    names = [str(tmp_path / f"m.{suffix}") for suffix in ("safetensors", "param", "onnx")]
    names.append(f"{names[0]}:0.5,{names[1]}:0.5")
    run("--hr", hr, "--scale", 2, *(word for name in names for word in ("-n", name)), "--json", tmp_path / "f.json")
    figures = json.loads((tmp_path / "f.json").read_text())["models"]
    means = [figures[name]["mean"] for name in names]
    assert all(mean == means[0] for mean in means) and means[0] != figures["bicubic"]["mean"]
    out, _ = run("--hr", hr, "--scale", 4, "-n", f"{names[0]}>{names[1]}")
    assert f"{names[0]}>{names[1]}" in out


def test_the_command_measures_niqe_with_parameters_from_a_file(
    large: Path, tmp_path: Path, parameters: NiqeParameters, run: Run
) -> None:
    out, err = run("--hr", large, "--scale", 2, "--niqe-parameters", tmp_path / "parameters.npz", "--lr-psnr")
    assert err == "" and parameters.sha256 in out
    assert out.splitlines()[5].endswith("NIQE (Y rounded, border 2)  LR-PSNR (RGB)")
    assert out.splitlines()[-1].split()[0] == "hr"


def test_only_niqe_downloads(hr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody is there: no network takes part
    run("--hr", hr, "--scale", 2)
    assert not (tmp_path / "cache").exists()
    out, err = run("--hr", hr, "--scale", 2, "--niqe", code=4)
    assert (
        out == ""
        and "niqe_pris_params.npz could not be downloaded" in err
        and "2a7c182a" in err
        and str(tmp_path / "cache") in err
    )


def test_equal_pictures_are_inf_in_words_and_null_in_json(tmp_path: Path, run: Run) -> None:
    hr = tmp_path / "hr"
    hr.mkdir()
    write_picture(picture(np.full((40, 40, 3), 0.5)), hr / "flat.png")
    out, _ = run("--hr", hr, "--scale", 2, "--json", tmp_path / "f.json")
    assert out.splitlines()[-1].split() == ["mean", "bicubic", "inf", "1.0000", "inf", "1.0000"]
    row = json.loads((tmp_path / "f.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert row["models"]["bicubic"]["mean"] == {"psnr_y": None, "ssim_y": 1.0, "psnr_rgb": None, "ssim_rgb": 1.0}


def test_one_unreadable_picture_is_named_and_the_rest_is_measured(hr: Path, tmp_path: Path, run: Run) -> None:
    whole = (hr / "a.png").read_bytes()
    (hr / "cut.png").write_bytes(whole[: len(whole) // 2])
    (hr / "empty.png").write_bytes(b"")
    out, err = run("--hr", hr, "--scale", 2, "--json", tmp_path / "f.json", code=3)
    assert "2 of 4 pictures failed" in err and "cut.png" in err and "empty.png" in err
    assert "2 pictures" in out
    figures = json.loads((tmp_path / "f.json").read_text())
    assert list(figures["models"]["bicubic"]["images"]) == ["a.png", "b.png"]
    assert sorted(figures["protocol"]["failed"]) == ["cut.png", "empty.png"]


def test_bad_usage_and_bad_models_have_their_codes(hr: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny.safetensors", 2)
    (tmp_path / "empty").mkdir()
    for arguments, code, words in [
        (("--hr", hr, "--scale", 0), 2, "--scale must be an integer"),
        (("--hr", hr, "--scale", 4, "-n", model), 2, "has scale 2, but --scale is 4"),
        (("--hr", hr), 2, "--scale"),
        (("--hr", tmp_path / "empty", "--scale", 4), 3, "contains no pictures"),
        (("--hr", hr, "--scale", 2, "-n", tmp_path / "none.safetensors"), 4, "none.safetensors"),
        (("--hr", hr, "--scale", 2, "--niqe-parameters", model), 4, "is not a NIQE parameter file"),
        (("--hr", hr, "--scale", 2, "--json", tmp_path / "no" / "f.json"), 5, "a folder that exists"),
    ]:
        out, err = run(*arguments, code=code)
        assert words in err
        assert out == ""
