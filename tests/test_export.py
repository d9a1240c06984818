"""The ONNX file is sound, takes any size, and computes what torch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomised, state_of
from upres.architectures import graph_from_state_dict
from upres.errors import OutputError
from upres.export import write_onnx


@pytest.mark.parametrize("module", [SRVGGNetCompact(width=8, convs=2, scale=2), RRDBNet(width=8, growth=4, blocks=1, unshuffle=2)])
def test_file_runs_at_any_size(module: SRVGGNetCompact | RRDBNet, tmp_path: Path) -> None:
    randomised(module, 2)
    path = tmp_path / "network.onnx"
    write_onnx(graph_from_state_dict(state_of(module)), path)
    assert [file.name for file in tmp_path.iterdir()] == ["network.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for height, width in ((16, 20), (2, 34)):
        lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = module(lr).numpy()
        np.testing.assert_allclose(session.run(["sr"], {"lr": lr.numpy()})[0], expected, rtol=0, atol=1e-5)


def test_opset_names_and_dynamic_axes(tmp_path: Path) -> None:
    write_onnx(graph_from_state_dict(state_of(SRVGGNetCompact(width=8, convs=2, scale=2))), tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    (lr,), (sr,) = model.graph.input, model.graph.output
    assert (lr.name, sr.name) == ("lr", "sr")
    assert [axis.dim_param or axis.dim_value for axis in lr.type.tensor_type.shape.dim] == [1, 3, "height", "width"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no_such_folder"):
        write_onnx(graph_from_state_dict(state_of(SRVGGNetCompact(width=8, convs=2))), tmp_path / "no_such_folder" / "network.onnx")
