"""Exports that are refused or fail: nothing is left, and what was there stays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.export.test_export import Array, export, left, saved
from tests.made_ncnn import bilinear_x2
from tests.tiny import compact_file, compact_state
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.onnx.program import onnx_bytes
from upres.engines.runner import Runner
from upres.errors import EngineError, ModelError, UpresError, UsageError
from upres.export import compare
from upres.export.export import FORMATS
from upres.graph.architectures import graph_from_state_dict
from upres.weights.read import write_safetensors


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_LARGEST_PX", 28)


def test_a_chain_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a chain of 2 networks; export them one by one: compact-x2, compact-x4"):
        export("compact-x2>compact-x4", "onnx", tmp_path)


def test_what_has_no_such_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    foreign = bilinear_x2(tmp_path / "in")
    (tmp_path / "in" / "m.onnx").write_bytes(onnx_bytes(graph_from_state_dict(compact_state())))
    write_safetensors(
        tmp_path / "in" / "hat.safetensors", {"layers.0.overlap_attn.weight": np.zeros((2, 2), np.float32)}, {}
    )
    nameless = export(str(saved(tmp_path, "span-x2")[0]), "ncnn", tmp_path / "in", threads=1).files[0]
    before = sorted(tmp_path.iterdir())
    for model, kind, words in (
        (
            foreign,
            "ncnn",
            "is an ncnn network that upres runs as it is, without knowing its layers. Take the same network as "
            ".safetensors",
        ),
        (tmp_path / "in" / "m.onnx", "onnx", "is an ONNX file that upres runs as it is, without knowing its layers"),
        (tmp_path / "in" / "hat.safetensors", "onnx", "hat.safetensors: unknown network: .* It looks like HAT"),
        (nameless, "safetensors", "weights have no names for safetensors"),
        ("compakt-x4", "onnx", "Did you mean compact-x4"),
    ):
        with pytest.raises(ModelError, match=words):
            export(str(model), kind, tmp_path)
    assert sorted(tmp_path.iterdir()) == before


# Failures: nothing is left, and what was there stays.


def test_without_openvino_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    without(monkeypatch, "openvino")
    done = export(str(path), "onnx", tmp_path, threads=1)
    assert done.not_run == ("openvino is not installed",)
    assert json.loads(done.report.read_text())["not_run"] == ["openvino is not installed"]
    without(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(EngineError, match=r"no engine for onnx is installed .* pip install 'upres\[onnx\]'"):
        export(str(path), "onnx", tmp_path / "other.onnx", threads=1)
    assert left(tmp_path) == ["m.onnx", "m.onnx.json", "m.safetensors"]


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    for module in ("upres.export.onnx", "upres.export.compare"):
        found = __import__("importlib.util", fromlist=["find_spec"]).find_spec
        monkeypatch.setattr(f"{module}.find_spec", lambda name, found=found: None if name in packages else found(name))


def test_ncnn_is_compared_with_another_engine_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compact_file(tmp_path / "m.safetensors")
    for missing, reference in (((), "torch"), (("torch",), "onnxruntime"), (("torch", "onnxruntime"), "ncnn")):
        without(monkeypatch, *missing)
        done = export(str(path), "ncnn", tmp_path, overwrite=True, threads=1)
        assert json.loads(done.report.read_text())["reference"].startswith(reference)


def test_a_source_that_fails_is_no_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = compact_file(tmp_path / "m.safetensors")

    class Failing(NcnnRunner):
        def __call__(self, lr: Array) -> Array:
            raise EngineError("out of breath")

    made: list[Runner] = []
    monkeypatch.setitem(compare._REFERENCES, "ncnn", lambda graph, threads: made.append(Failing(graph)) or made[-1])
    with pytest.raises(UpresError, match="out of breath"):
        export(str(path), "onnx", tmp_path, threads=1)
    assert left(tmp_path) == ["m.safetensors"]


def test_a_network_beyond_half_says_so(tmp_path: Path) -> None:
    state = compact_state()
    state["body.0.weight"] = state["body.0.weight"] * 1e6
    write_safetensors(tmp_path / "m.safetensors", state, {})
    for kind in FORMATS:
        with pytest.raises(EngineError, match=r"float16 (maximum of|ends at) 65504"):
            export(str(tmp_path / "m.safetensors"), kind, tmp_path, half=True, threads=1)
    assert left(tmp_path) == ["m.safetensors"]
