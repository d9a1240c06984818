"""Half precision in ONNX programs: inside only, smaller, and refused where a weight does not fit."""

from __future__ import annotations

import onnx
import pytest

from tests.oracles.networks import RRDBNet, randomized, state_of
from upres.engines.onnx.program import onnx_bytes
from upres.errors import EngineError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Scale


def test_half_precision_is_inside_only() -> None:
    graph = graph_from_state_dict(state_of(randomized(RRDBNet(width=4, growth=3, blocks=1, unshuffle=2), 1)))
    model = onnx.load_from_string(onnx_bytes(graph, half=True))
    onnx.checker.check_model(model, full_check=True)
    kinds = onnx.TensorProto
    assert [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)] == [
        kinds.FLOAT,
        kinds.FLOAT,
    ]
    inside = {value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(model).graph.value_info}
    assert inside == {kinds.FLOAT16}
    single = {tensor.name for tensor in model.graph.initializer if tensor.data_type == kinds.FLOAT}
    assert single and all(name.endswith(".scales") for name in single)  # Resize takes no other
    assert len(onnx_bytes(graph, half=True)) < 0.7 * len(onnx_bytes(graph))


def test_a_weight_that_float16_cannot_hold_is_named() -> None:
    graph = Graph.of([Scale("o", "input", 70000.0)], output="o", in_channels=1, family="test")
    with pytest.raises(EngineError, match=r"has magnitude 70000, and float16 ends at 65504"):
        onnx_bytes(graph, half=True)
    onnx_bytes(graph)
