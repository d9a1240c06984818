"""The ONNX file is sound, takes any size, and computes what torch computes, in ONNX Runtime and in OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from tests.tiny import compact_state
from upres.engines.onnx.runner import largest_between
from upres.engines.torch import TorchRunner
from upres.errors import EngineError, OutputError
from upres.export.onnx import check_range, with_plain_names, write_onnx
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Conv

SMALL = SRVGGNetCompact(width=8, convs=2, scale=2)
Array = np.ndarray


def runs(path: Path, lr: Array) -> list[Array]:
    """Both engines in float32.

    OpenVINO is told so: by itself it computes in half precision on CPUs that have it (AVX512-FP16, AMX).
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [session.run(["sr"], {"lr": lr})[0], compiled({"lr": lr})["sr"]]


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "module", [SMALL, *(RRDBNet(width=8, growth=4, blocks=1, unshuffle=factor) for factor in (2, 4))]
)
def test_file_runs_at_any_size(module: SRVGGNetCompact | RRDBNet, half: bool, tmp_path: Path) -> None:
    """A pixel-unshuffle as SpaceToDepth and Gather gave wrong pictures in OpenVINO 2026.4."""
    randomized(module, 2)
    path = tmp_path / "network.onnx"
    write_onnx(graph_from_state_dict(state_of(module)), path, half=half)
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    for height, width in ((16, 20), (4, 36)):
        lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = module(lr).numpy()
        for found in runs(path, lr.numpy()):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3 if half else 1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_opset_names_axes_and_facts(half: bool, tmp_path: Path) -> None:
    write_onnx(
        graph_from_state_dict(state_of(SMALL)),
        tmp_path / "network.onnx",
        half=half,
        facts={"scale": "2", "family": "compact"},
    )
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    (lr,), (sr,) = model.graph.input, model.graph.output
    assert (lr.name, sr.name) == ("lr", "sr")
    assert lr.type.tensor_type.elem_type == sr.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert [axis.dim_param or axis.dim_value for axis in lr.type.tensor_type.shape.dim] == [1, 3, "height", "width"]
    assert {entry.key: entry.value for entry in model.metadata_props} == {"scale": "2", "family": "compact"}
    stored = {tensor.data_type for tensor in model.graph.initializer if tensor.name.endswith("weight")}
    assert stored == {onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no_such_folder"):
        write_onnx(graph_from_state_dict(state_of(SMALL)), tmp_path / "no_such_folder" / "network.onnx")


def test_names_of_a_foreign_file_cannot_collide(tmp_path: Path) -> None:
    """Values called as the writers' own: an `sr` that is not the result, `x.weight` beside a convolution `x`."""
    weight = np.zeros((3, 3, 1, 1), np.float32)
    weight[np.arange(3), np.arange(3)] = 0.5
    nodes = [
        Conv("sr", "lr.half", weight),
        Activate("x.weight", "sr", Activation("relu")),
        Conv("x", "x.weight", weight),
        Add("lr", ("x", "sr"), (1.0, 1.0)),
    ]
    graph = Graph.of(nodes, output="lr", in_channels=3, family="foreign", input="lr.half")
    write_onnx(graph, tmp_path / "network.onnx")
    pixels = np.random.default_rng(0).random((1, 3, 4, 6), dtype=np.float32)
    for found in runs(tmp_path / "network.onnx", pixels):
        np.testing.assert_allclose(found, 0.75 * pixels, rtol=0, atol=1e-6)
    assert [node.output for node in with_plain_names(graph, "a", "b").nodes] == ["conv0", "activate1", "conv2", "b"]


def test_values_beyond_half_between_layers_are_found_though_the_cpu_does_not_show_them(tmp_path: Path) -> None:
    state = compact_state(2, width=4, depth=2)
    plain = graph_from_state_dict(state)
    lr = np.random.default_rng(0).random((1, 3, 12, 12), dtype=np.float32)
    module = TorchRunner(plain, threads=1, device="cpu")
    check_range(plain, lr, 1)
    assert largest_between(plain, lr) >= np.abs(module(lr)).max()
    # weights that fit into float16, and cancel each other
    state["body.0.weight"] = state["body.0.weight"] * np.float32(6e4)
    state["body.2.weight"] = state["body.2.weight"] * np.float32(1 / 6e4)
    with pytest.raises(
        EngineError, match=r"activations of this network reach \d.*float16 maximum of 65504.*without `half`"
    ):
        check_range(graph_from_state_dict(state), lr, 1)
