"""Two graphs are one network whatever their values are called and however constants are folded, and never if a number
differs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.oracles.networks import RRDBNet, randomized, state_of
from tests.tiny import compact
from upres.export.onnx import with_plain_names
from upres.graph.architectures import graph_from_state_dict
from upres.graph.equivalence import equivalent
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale


def rrdb() -> Graph:
    return graph_from_state_dict(state_of(randomized(RRDBNet(width=8, growth=4, blocks=1, ups=1), 3)))


def kernel(out: int, into: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((out, into, 3, 3)).astype(np.float32)


def mixed() -> Graph:
    """Every kind of node once, none of which can be folded into another."""
    nodes: list[Node] = [
        Conv("a", "input", kernel(4, 3, 0), np.ones(4, np.float32), padding=1),
        Activate("b", "a", Activation("sigmoid")),
        Mul("c", ("a", "b")),
        Scale("d", "c", 0.5),
        Concat("e", ("d", "a")),
        MaxPool("f", "e", 2, 2),
        Resample("upsample_nearest", "g", "f", 2),
        Add("h", ("g", "e"), (1.0, 0.25)),
        Activate("i", "h", Activation("leaky_relu", slope=0.1)),
        Conv("output", "i", kernel(3, 8, 1), padding=1),
    ]
    return Graph.of(nodes, output="output", in_channels=3, family="mixed")


def changed(graph: Graph, output: str, **values: object) -> Graph:
    nodes = [replace(node, **values) if node.output == output else node for node in graph.nodes]  # type: ignore[arg-type]
    return replace(graph, nodes=tuple(nodes))


@pytest.mark.parametrize("make", [compact, rrdb, mixed])
def test_names_and_folding_make_no_difference(make: object) -> None:
    graph: Graph = make()  # type: ignore[operator]
    for other in (
        graph,
        with_plain_names(graph, "lr", "sr"),
        graph.simplify(),
        with_plain_names(graph.simplify(), "x", "y"),
    ):
        assert equivalent(graph, other) and equivalent(other, graph)


def test_the_order_of_a_sum_and_of_a_product_makes_no_difference() -> None:
    graph = changed(mixed(), "h", inputs=("e", "g"), coefficients=(0.25, 1.0))
    assert equivalent(mixed(), changed(graph, "c", inputs=("b", "a")))


def test_relu_is_a_leaky_relu_and_a_prelu_of_its_slopes() -> None:
    kinds = (Activation("leaky_relu", slope=0.1), Activation("prelu", slopes=np.full(8, 0.1, np.float32)))
    assert equivalent(changed(mixed(), "i", activation=kinds[0]), changed(mixed(), "i", activation=kinds[1]))
    zero = Activation("prelu", slopes=np.zeros(1, np.float32))
    assert equivalent(changed(mixed(), "i", activation=Activation("relu")), changed(mixed(), "i", activation=zero))


@pytest.mark.parametrize(
    ("output", "values"),
    [
        ("a", {"weight": kernel(4, 3, 0) * np.float32(1.001)}),
        ("a", {"bias": np.full(4, 1.001, np.float32)}),
        ("a", {"bias": None}),
        ("a", {"activation": Activation("relu")}),
        ("b", {"activation": Activation("relu")}),
        ("c", {"inputs": ("a", "a")}),
        ("d", {"factor": 0.501}),
        ("e", {"inputs": ("a", "d")}),
        ("f", {"kernel": 4}),
        ("h", {"coefficients": (1.0, 0.251)}),
        ("h", {"coefficients": (0.25, 1.0)}),
        ("i", {"activation": Activation("leaky_relu", slope=0.101)}),
        ("i", {"activation": Activation("prelu", slopes=np.array([0.1] * 7 + [0.2], np.float32))}),
    ],
)
def test_one_difference_is_enough(output: str, values: dict[str, object]) -> None:
    other = changed(mixed(), output, **values)
    assert not equivalent(mixed(), other) and not equivalent(other, mixed())


def test_other_networks_are_not_equal() -> None:
    assert not equivalent(compact(2), compact(3)) and not equivalent(compact(2), rrdb())
    assert not equivalent(compact(2, depth=2), compact(2, depth=3)) and not equivalent(compact(2), compact(2, seed=1))
    early = Graph.of(mixed().nodes[:3], output="c", in_channels=3, family="early")
    assert not equivalent(early, replace(early, output="a")) and equivalent(early, early)


def test_twins_that_read_the_same_value_cannot_be_told_apart() -> None:
    """Their kernels could be swapped: the answer is no, even for a graph and itself."""
    nodes: list[Node] = [
        Conv("a", "input", kernel(3, 3, 0), padding=1),
        Conv("b", "input", kernel(3, 3, 1), padding=1),
        Mul("output", ("a", "b")),
    ]
    graph = Graph.of(nodes, output="output", in_channels=3, family="twins")
    assert not equivalent(graph, graph)
