"""`upres export` as its users run it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import compact_file, noise, picture
from upres.cli.main import app
from upres.errors import EngineError
from upres.export import compare
from upres.images.io import write_picture

Run = Callable[..., tuple[str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two models in it."""
    compact_file(tmp_path / "a.safetensors", seed=1)
    compact_file(tmp_path / "b.safetensors", seed=2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compare, "_LARGEST_PX", 28)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def inside(*arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as end:
            app(["export", *map(str, arguments)])
        words = capsys.readouterr()
        assert end.value.code == code, words.err
        assert "Traceback" not in words.err
        return words.out, words.err

    return inside


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_a_line_for_each_engine_and_each_file(folder: Path, run: Run) -> None:
    out, err = run("a.safetensors", "-f", "onnx")
    digest = hashlib.sha256((folder / "a.onnx").read_bytes()).hexdigest()
    assert out == f"{digest}  a.onnx\n"
    lines = err.splitlines()
    assert [line.split()[0] for line in lines] == ["onnxruntime", "openvino"]
    assert all("3 pictures, worst: largest difference" in line and "dB) at" in line for line in lines)
    out, err = run("a.safetensors", "--format", "NCNN", "--half", "-o", folder)
    assert [line.split("  ")[1] for line in out.splitlines()] == [
        str(folder / f"a-x2-fp16{ending}") for ending in (".param", ".bin")
    ]
    assert names(folder) == sorted(
        [
            "a.safetensors",
            "b.safetensors",
            "a.onnx",
            "a.onnx.json",
            "a-x2-fp16.param",
            "a-x2-fp16.bin",
            "a-x2-fp16.param.json",
        ]
    )


def test_the_report_as_json(folder: Path, run: Run) -> None:
    out, _ = run("a.safetensors:0.7,b.safetensors:0.3", "-o", "mix.safetensors", "--json")
    assert out == (folder / "mix.safetensors.json").read_text()
    assert json.loads(out)["model"] == "a.safetensors:0.7,b.safetensors:0.3"
    assert [source["share"] for source in json.loads(out)["source"]] == pytest.approx([0.7, 0.3])


def test_a_picture_of_the_user(folder: Path, run: Run) -> None:
    write_picture(picture(noise(20, 24)), folder / "photo.png")
    _, err = run("a.safetensors", "-f", "onnx", "--picture", "photo.png", "--json")
    assert "the picture" in err
    report = json.loads((folder / "a.onnx.json").read_text())
    assert {check["picture"].split(",")[0] for check in report["checks"]} == {"the picture"}
    assert (report["checks"][0]["height"], report["checks"][0]["width"]) == (20, 24)


@pytest.mark.slow
def test_what_upscayl_will_not_do_is_said(folder: Path, run: Run) -> None:
    _, err = run("a.safetensors", "-o", "new-x4.param")
    assert "note: Upscayl reads scale 4 from the name new-x4, but it is 2; choose another name" in err


def test_errors_have_their_codes_and_leave_nothing(folder: Path, run: Run) -> None:
    (folder / "text.png").write_text("no picture")
    before = names(folder)
    model = "a.safetensors"
    for arguments, code, words in [
        ((model,), 2, "specify -f, or an -o with the suffix of a format: expected onnx, ncnn, safetensors"),
        ((model, "-f", "onxx"), 2, "unknown format 'onxx'; expected onnx, ncnn, safetensors, did you mean 'onnx'?"),
        ((model, "-f", "onnx", "-o", "m.bin"), 2, "end in .onnx, got m.bin"),
        ((f"{model}>b.safetensors", "-f", "onnx"), 2, "a chain of 2 networks; export them one by one"),
        ((model, "-f", "safetensors"), 2, "a.safetensors is the model to export"),
        ((model, "-f", "onnx", "-o", "none/"), 5, "the folder none/ does not exist"),
        ((model, "-f", "onnx", "--picture", "text.png"), 3, "text.png"),
        (("none.safetensors", "-f", "onnx"), 4, "none.safetensors"),
        (("compakt-x4", "-f", "onnx"), 4, "Did you mean compact-x4"),
        ((), 2, "MODEL"),
    ]:
        out, err = run(*arguments, code=code)
        assert words in err, err
        assert out == ""
    assert names(folder) == before


@pytest.mark.slow
def test_what_is_there_is_kept(folder: Path, run: Run) -> None:
    run("a.safetensors", "-f", "onnx")
    before = (folder / "a.onnx").read_bytes()
    _, err = run("a.safetensors", "-f", "onnx", code=5)
    assert "a.onnx exists; use --overwrite" in err
    run("a.safetensors", "-f", "onnx", "--half", "-o", "a.onnx", "--overwrite")
    assert len((folder / "a.onnx").read_bytes()) < len(before)


def test_past_the_tolerance(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from upres.engines.onnx.opaque import OnnxProgram

    whole = OnnxProgram.__call__
    monkeypatch.setattr(OnnxProgram, "__call__", lambda self, lr: whole(self, lr) + np.float32(0.02))
    before = names(folder)
    out, err = run("a.safetensors", "-f", "onnx", code=3)
    assert "differs from its source in onnxruntime" in err and "Nothing was written" in err and out == ""
    assert names(folder) == before


def test_without_the_onnx_package(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise EngineError("ONNX needs the onnx package, which is not installed; remedy: pip install 'upres[onnx]'")

    monkeypatch.setattr("upres.engines.onnx.program.onnx_bytes", missing)
    _, err = run("a.safetensors", "-f", "onnx", code=3)
    assert "pip install 'upres[onnx]'" in err
    assert names(folder) == ["a.safetensors", "b.safetensors"]


def test_a_model_that_must_be_agreed_to_stops_before_anything(folder: Path, run: Run) -> None:
    _, err = run("4x-Remacri", "-f", "ncnn", code=4)
    assert "--accept-license" in err
    assert names(folder) == ["a.safetensors", "b.safetensors"]
