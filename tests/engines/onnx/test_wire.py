"""ONNX files written without the onnx package, against that package."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres.engines.onnx import wire
from upres.engines.onnx.program import onnx_bytes
from upres.graph.architectures import graph_from_state_dict


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "network",
    [RRDBNet(width=4, growth=3, blocks=1, unshuffle=2), SRVGGNetCompact(width=5, convs=2)],
    ids=["rrdb", "compact"],
)
def test_the_package_would_write_the_same_bytes(network: torch.nn.Module, half: bool) -> None:
    graph = graph_from_state_dict(state_of(randomized(network, 3)))
    data = onnx_bytes(graph, half=half, facts={"b": "2", "a": "é" * 200})
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert model.SerializeToString(deterministic=True) == data


def test_attributes_and_tensors_are_those_of_the_package() -> None:
    settings: dict[str, wire.Attribute] = {"alpha": 0.2, "axis": 1, "mode": "nearest", "pads": [0, 1, 300, 70000]}
    package: Any = onnx  # its stubs are partial
    made = package.helper.make_node("Any", ["a", "", "b"], ["c"], name="c", **settings)
    assert wire.node("Any", ["a", "", "b"], "c", settings) == made.SerializeToString()
    for values in (np.full((), 3.5, np.float32), np.arange(6, dtype=np.float16).reshape(2, 3)[:, ::-1]):
        made_tensor = onnx.numpy_helper.from_array(np.array(values), "t")
        assert wire.tensor("t", values) == made_tensor.SerializeToString()


def test_the_package_is_not_imported() -> None:
    code = "import sys, upres.engines.onnx.program; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
