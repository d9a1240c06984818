"""`upres evaluate` as its users run it: its table, its JSON, its words and its exit codes."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.test_evaluate import hr  # noqa: F401  # a fixture, which pytest finds by name
from tests.evaluation.test_evaluate_niqe import large, parameters  # noqa: F401  # fixtures as well
from tests.metrics.test_backbones import made
from tests.tiny import compact, compact_file, compact_state, noise, picture
from upres.export.ncnn import write_ncnn
from upres.export.onnx import write_onnx
from upres.graph.architectures import graph_from_state_dict
from upres.images.io import write_picture
from upres.metrics.niqe import NiqeParameters
from upres.system.files import sha256_of
from upres.weights.read import write_safetensors

Run = Callable[..., tuple[str, str]]  # of the verb, with its arguments and `code`


@pytest.fixture
def run(upres: Callable[..., tuple[str, str]]) -> Run:
    return partial(upres, "evaluate")


def first_table(out: str) -> list[str]:
    """The lines of the table of all pictures, which the summary follows."""
    lines = out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("picture "))
    return lines[start : lines.index("", start)]


def test_the_command_prints_the_table_and_writes_the_json(hr: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny.safetensors", 2, strength=0.01)
    target = tmp_path / "figures.json"
    out, err = run("--hr", hr, "--scale", 2, "-n", model, "--json", target)
    assert "PSNR (Y, border 2)" in out and "bicubic" in out and str(model) in out
    assert err == ""
    report = json.loads(target.read_text())
    assert set(report) == {"format", "upres", "models", "sets"} and list(report["sets"]) == ["hr"]
    facts = report["models"][str(model)]
    assert facts["sha256"] == [sha256_of(model)] and facts["parameters"] == compact(2).parameters
    assert facts["macs_per_pixel"] == compact(2).macs_per_pixel / 4
    figures = report["sets"]["hr"]
    assert set(figures) == {"protocol", "models"}
    assert list(figures["models"]) == ["bicubic", str(model)]
    assert figures["models"][str(model)]["seconds_per_megapixel"] > 0
    for model_figures in figures["models"].values():
        assert set(model_figures) - {"seconds_per_megapixel", "bytes_per_megapixel"} == {"mean", "images", "interval"}
        assert list(model_figures["images"]) == ["a.png", "b.png"]
        for row in (model_figures["mean"], *model_figures["images"].values()):
            assert set(row) == {"psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"}
            assert all(isinstance(value, float) for value in row.values())
    assert figures["protocol"]["scale"] == 2
    assert figures["protocol"]["border_px"] == 2
    assert figures["protocol"]["failed"] == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "hr", "tiny.safetensors"]


@pytest.mark.slow
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
    figures = json.loads((tmp_path / "f.json").read_text())["sets"]["hr"]["models"]
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
    assert first_table(out)[-1].split()[0] == "hr"


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
    assert first_table(out)[-1].split() == ["mean", "bicubic", "inf", "1.0000", "inf", "1.0000"]
    assert out.splitlines()[-1].split() == [
        "hr",
        "bicubic",
        "inf",
        "1.0000",
        "inf",
        "1.0000",
    ]  # one picture: no interval
    row = json.loads((tmp_path / "f.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert row["sets"]["hr"]["models"]["bicubic"]["mean"] == {
        "psnr_y": None,
        "ssim_y": 1.0,
        "psnr_rgb": None,
        "ssim_rgb": 1.0,
    }


def test_one_unreadable_picture_is_named_and_the_rest_is_measured(hr: Path, tmp_path: Path, run: Run) -> None:
    whole = (hr / "a.png").read_bytes()
    (hr / "cut.png").write_bytes(whole[: len(whole) // 2])
    (hr / "empty.png").write_bytes(b"")
    out, err = run("--hr", hr, "--scale", 2, "--json", tmp_path / "f.json", code=3)
    assert "2 of 4 pictures failed" in err and "cut.png" in err and "empty.png" in err
    assert "2 pictures" in out
    figures = json.loads((tmp_path / "f.json").read_text())["sets"]["hr"]
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


def test_several_sets_give_one_table_with_paired_differences(hr: Path, large: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny.safetensors", 2, strength=0.01)
    sets = ("--set", f"Small={hr}", "--set", f"Large={large}")
    out, _ = run(*sets, "-s", 2, "-n", model, "--against", "bicubic", "--high-band")
    lines = out.splitlines()
    assert not any(line.startswith("picture ") for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(("Small ", "Large "))] == ["Small", "Large"] * 2
    assert "high band (border 2)" in out and "differences from bicubic, paired by picture" in out
    out, err = run(*sets, "-s", 2, "--ms-ssim", code=3)
    assert out == "" and "MS-SSIM needs 176x176 pixels" in err  # no picture of Small can be measured
    out, _ = run("--hr", large, "-s", 2, "--ms-ssim")
    assert "MS-SSIM (Y, border 2)" in out


def test_formats_name_the_protocol(hr: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny_net.safetensors", 2, strength=0.01)
    for name, words in (
        ("markdown", ["| set | model | PSNR (Y, border 2) |", "tiny\\_net", "*hr: x2, 2 pictures"]),
        ("latex", [r"\toprule", r"\bottomrule", r"tiny\_net", r"\caption{hr: x2, 2 pictures", r"95 \%"]),
        ("csv", ['"PSNR (Y, border 2)","PSNR (Y, border 2) low"', "x2, 2 pictures"]),
    ):
        out, _ = run("--hr", hr, "-s", 2, "-n", model, "--format", name)
        assert all(word in out for word in words), out


def test_results_of_other_programs_are_measured_alike(hr: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "theirs").mkdir()
    for path in hr.iterdir():
        (tmp_path / "theirs" / f"{path.stem}_SR.png").write_bytes(path.read_bytes())
    out, _ = run("--hr", hr, "-s", 2, "--sr", f"theirs={tmp_path / 'theirs'}", "--json", tmp_path / "f.json")
    assert "theirs" in out
    rows = json.loads((tmp_path / "f.json").read_text())["sets"]["hr"]["models"]
    assert (
        rows["theirs"]["mean"]["psnr_rgb"] is None and rows["bicubic"]["mean"]["psnr_rgb"] > 10
    )  # HR itself: infinite
    write_picture(picture(noise(30, 30)), tmp_path / "theirs" / "a_SR.png")
    _, err = run("--hr", hr, "-s", 2, "--sr", f"theirs={tmp_path / 'theirs'}", code=3)
    assert "theirs: a_SR.png is 30 x 30, expected 50 x 40" in err
    (tmp_path / "theirs" / "a_SR.png").unlink()
    out, err = run("--hr", hr, "-s", 2, "--sr", f"theirs={tmp_path / 'theirs'}", code=3)
    assert out == "" and "do not match the set hr: a.png has no SR picture in" in err


def test_own_results_are_left_out_with_a_count(hr: Path, run: Run) -> None:
    for name in ("a_x4.png", "b_100x90.png"):
        write_picture(picture(noise(80, 90)), hr / name)
    out, err = run("--hr", hr, "-s", 2)
    assert err == "note: 2 results of upres beside the pictures of hr left out\n" and "x2, 2 pictures" in out


def test_lr_alone_has_the_figures_that_need_no_hr(hr: Path, tmp_path: Path, run: Run) -> None:
    model = compact_file(tmp_path / "tiny.safetensors", 2, strength=0.01)
    out, _ = run("--lr", hr, "-s", 2, "-n", model)
    heads = next(line for line in out.splitlines() if line.startswith("picture "))
    assert heads.split() == ["picture", "model", "LR-PSNR", "(RGB)"] and "HR none" in out


def test_reports_are_joined(hr: Path, large: Path, tmp_path: Path, run: Run) -> None:
    names = [compact_file(tmp_path / f"{name}.safetensors", 2, seed=seed) for seed, name in enumerate(("one", "two"))]
    for name in names:
        run("--hr", hr, "-s", 2, "-n", name, "--json", name.with_suffix(".json"))
    both, _ = run("--hr", hr, "-s", 2, "-n", names[0], "-n", names[1], "--format", "csv")
    joined, _ = run("--join", names[0].with_suffix(".json"), "--join", names[1].with_suffix(".json"), "--format", "csv")
    cut = [[line.split(",")[:14] for line in text.splitlines()] for text in (both, joined)]
    assert cut[0] == cut[1]
    also, _ = run(
        "--join", names[0].with_suffix(".json"), "--hr", hr, "-s", 2, "-n", names[1], "--against", str(names[0])
    )
    assert f"differences from {names[0]}" in also
    (hr / "b.png").rename(hr / "c.png")
    _, err = run("--join", names[0].with_suffix(".json"), "--hr", hr, "-s", 2, code=3)
    assert "the set hr has different pictures in the reports, such as b.png" in err
    names[0].with_suffix(".json").write_text("[]")
    _, err = run("--join", names[0].with_suffix(".json"), code=3)
    assert "is not a report of" in err


def test_bad_sets_are_refused(hr: Path, tmp_path: Path, run: Run) -> None:
    for arguments, words in [
        ((), "--scale is missing"),
        (("-s", 2), "name a folder of HR pictures by --hr or --set"),
        (("-s", 2, "--set", "a"), "--set must be NAME=DIR"),
        (("-s", 2, "--set", f"a={hr}", "--hr", hr), "--set and --hr exclude each other"),
        (("-s", 2, "--set", f"a={hr}", "--set", f"a={hr}"), "--set names a twice"),
        (("-s", 2, "--set", f"a={hr}", "--set", f"b={hr}", "--sr", f"x={hr}"), "--sr fits one set only"),
        (("-s", 2, "--hr", hr, "--against", "bicubc"), "--against must be one of bicubic, got 'bicubc', did you mean"),
        (("-s", 2, "--hr", hr, "--sr", f"bicubic={hr}"), "a model cannot be named bicubic"),
    ]:
        out, err = run(*arguments, code=2)
        assert words in err and out == "", err


def test_a_distance_is_named_after_its_files(large: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "networks"
    folder.mkdir()
    _, err = run("--hr", large, "-s", 2, "--lpips", "squeeze", "--backbones", folder, code=4)
    assert "has no lpips_lin_v0.1_squeeze.pth; put it there" in err
    backbone, _, _ = made("squeeze")
    write_safetensors(folder / "squeezenet1_1-b8a52dc0.pth", dict(backbone.weights), {})
    widths = [len(layer) for layer in backbone.features(np.zeros((64, 64, 3), np.uint8))]
    weights = {f"lin{i}.model.1.weight": np.ones((1, width, 1, 1), np.float32) for i, width in enumerate(widths)}
    write_safetensors(folder / "lpips_lin_v0.1_squeeze.pth", weights, {})
    out, _ = run("--hr", large, "-s", 2, "--lpips", "squeeze", "--backbones", folder, "--json", tmp_path / "f.json")
    assert "feature-distance (squeeze) (border 2)" in out and "LPIPS" not in out
    report = json.loads((tmp_path / "f.json").read_text())["sets"]["large"]
    assert report["models"]["bicubic"]["mean"]["lpips"] > 0 and "SHA-256" in report["protocol"]["lpips"]
