"""ONNX files that upres exported become the graphs that they were written from; all others do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from tests.oracles.span import SPAN
from tests.tiny import aligned_graph, compact, gray_graph
from upres.engines.onnx.graph import graph_of
from upres.engines.onnx.program import onnx_bytes
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.equivalence import equivalent
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Concat, Conv, MaxPool, Node, Resample
from upres.models.load import load_model

FACTS = {"value_range": "0 1", "family": "of the file"}


def written(path: Path, graph: Graph, *, half: bool = False, facts: dict[str, str] | None = None) -> Path:
    path.write_bytes(onnx_bytes(graph, half=half, facts=FACTS if facts is None else facts))
    return path


def pooled() -> Graph:
    """Nodes that no published network here has together."""
    weight = np.random.default_rng(0).standard_normal((4, 6, 3, 3)).astype(np.float32)
    nodes: list[Node] = [
        Activate("a", "input", Activation("leaky_relu", slope=0.3)),
        Concat("b", ("a", "input")),
        Conv("c", "b", weight, padding=1, activation=Activation("sigmoid")),
        MaxPool("d", "c", 2, 2),
        Resample("upsample_nearest", "e", "d", 2),
    ]
    return Graph.of(nodes, output="e", in_channels=3, family="pooled")


GRAPHS = {
    "compact": lambda: compact(3),
    "gray": gray_graph,
    "unshuffle": aligned_graph,
    "pooled": pooled,
    "rrdb": lambda: graph_from_state_dict(state_of(randomized(RRDBNet(width=8, growth=4, blocks=1, unshuffle=2), 3))),
    "span": lambda: graph_from_state_dict(state_of(randomized(SPAN(width=8, scale=2), 3))),
}


@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_file_of_ours_is_the_graph_it_was_written_from(name: str, simplified: bool, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    found = graph_of(written(tmp_path / "m.onnx", graph.simplify() if simplified else graph))
    assert found is not None and found.family == "of the file"
    assert equivalent(found, graph)


@pytest.mark.parametrize("module", [SRVGGNetCompact(width=8, convs=2, scale=3), RRDBNet(width=8, growth=4, blocks=2)])
@pytest.mark.parametrize("half", [False, True])
def test_exported_networks_get_their_names_back(module: object, half: bool, tmp_path: Path) -> None:
    state = state_of(randomized(module, 3))  # type: ignore[arg-type]
    model = load_model(written(tmp_path / "m.onnx", graph_from_state_dict(state).simplify(), half=half))
    assert model.state_dict().keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_allclose(model.state_dict()[name], array, rtol=0, atol=4e-3 if half else 4e-6)


@pytest.mark.parametrize("facts", [{}, {"value_range": "0 255"}])
def test_a_file_that_does_not_say_its_range_is_no_graph(facts: dict[str, str], tmp_path: Path) -> None:
    assert graph_of(written(tmp_path / "m.onnx", compact(2), facts=facts)) is None


def test_a_file_of_another_maker_is_no_graph(tmp_path: Path) -> None:
    model = onnx.load(written(tmp_path / "m.onnx", compact(2)))
    model.producer_name = "pytorch"
    onnx.save(model, tmp_path / "other.onnx")
    assert graph_of(tmp_path / "other.onnx") is None


def changed(kind: str) -> onnx.ModelProto:
    model = onnx.load_from_string(onnx_bytes(compact(2), facts=FACTS))
    nodes = {node.op_type: node for node in model.graph.node}
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    match kind:
        case "operator":
            nodes["PRelu"].op_type = "Softplus"
            del nodes["PRelu"].input[1:]
        case "padding":
            next(attribute for attribute in nodes["Conv"].attribute if attribute.name == "pads").ints[:] = [0, 0, 0, 0]
        case "stride":
            next(attribute for attribute in nodes["Conv"].attribute if attribute.name == "strides").ints[:] = [0, 0]
        case "dilation":
            nodes["Conv"].attribute.append(helper.make_attribute("dilations", [2, 2]))
        case "nan":
            values = np.full(weight.dims, np.nan, np.float32)
            weight.raw_data = values.tobytes()
        case "missing":
            nodes["Conv"].input[1] = "nowhere"
        case _:
            del next(iter(model.graph.input)).type.tensor_type.shape.dim[:]
    return model


@pytest.mark.parametrize("kind", ["operator", "padding", "stride", "dilation", "nan", "missing", "shape"])
def test_a_file_that_was_changed_is_no_graph(kind: str, tmp_path: Path) -> None:
    onnx.save(changed(kind), tmp_path / "m.onnx")
    assert graph_of(tmp_path / "m.onnx") is None


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx_bytes(compact(2), facts=FACTS)[:200])
    with pytest.raises(ModelError, match="it is truncated or not ONNX"):
        graph_of(path)
