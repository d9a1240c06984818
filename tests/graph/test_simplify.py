"""Each rule alone: the function stays (run by torch before and after), and the node that should vanish has vanished."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres.engines.torch import TorchRunner
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, Mul, Node, Scale

RNG = np.random.default_rng(7)
RELU = Activation("relu")
SIGMOID = Activation("sigmoid")


def conv(
    output: str,
    source: str,
    into: int = 4,
    out: int = 4,
    kernel: int = 3,
    *,
    bias: bool = True,
    padding: int | None = None,
) -> Conv:
    weight = RNG.normal(0, 0.3, (out, into, kernel, kernel)).astype(np.float32)
    shift = RNG.normal(0, 0.3, out).astype(np.float32) if bias else None
    return Conv(output, source, weight, shift, padding=kernel // 2 if padding is None else padding)


def run(graph: Graph) -> Array:
    lr = np.random.default_rng(0).random((1, graph.in_channels, 9, 11), dtype=np.float32)
    return TorchRunner(graph, threads=1)(lr)


def kinds(graph: Graph) -> list[str]:
    return [type(node).__name__ for node in graph.nodes]


S = ("input",)
RULES: dict[str, tuple[list[Node], list[str]]] = {
    "activation moves into its conv": ([conv("a", "input"), Activate("b", "a", RELU)], ["Conv"]),
    "but not where the conv is read twice": (
        [conv("a", "input"), Activate("b", "a", RELU), Mul("c", ("a", "b"))],
        ["Conv", "Activate", "Mul"],
    ),
    "nor a second activation": (
        [conv("a", "input"), Activate("b", "a", RELU), Activate("c", "b", SIGMOID)],
        ["Conv", "Activate"],
    ),
    "a constant moves into the conv": ([conv("a", "input"), Scale("b", "a", 0.2)], ["Conv"]),
    "but not past an activation": (
        [conv("a", "input"), Activate("b", "a", RELU), Scale("c", "b", 0.2)],
        ["Conv", "Scale"],
    ),
    "a constant moves into a sum": (
        [
            Activate("a", "input", RELU),
            Activate("b", "input", SIGMOID),
            Add("c", ("a", "b"), (1.0, 0.5)),
            Scale("d", "c", 0.2),
        ],
        ["Activate", "Activate", "Add"],
    ),
    "a sum in a sum, and a scaled input": (
        [
            Activate("a", "input", RELU),
            Activate("b", "input", SIGMOID),
            Add("c", ("a", "b"), (1.0, 0.5)),
            Scale("d", "b", 0.3),
            Add("e", ("c", "d", "input"), (0.2, 2.0, -1.0)),
        ],
        ["Activate", "Activate", "Add"],
    ),
    "identity moves into the conv": ([conv("a", "input"), Add("b", ("a", "input"), (0.2, 1.5))], ["Conv"]),
    "identity of a part of a concatenation": (
        [
            Activate("x", "input", RELU),
            Activate("y", "input", SIGMOID),
            Concat("j", ("x", "y")),
            conv("a", "j", into=8),
            Add("b", ("y", "a"), (3.0, 0.5)),
        ],
        ["Activate", "Activate", "Concat", "Conv"],
    ),
    "not of a conv that moves the picture": (
        [conv("a", "input", kernel=1), conv("c", "a", kernel=3)],
        ["Conv", "Conv"],
    ),
    "parallel convs of one input": (
        [
            conv("a", "input"),
            conv("b", "input", kernel=1, bias=False),
            conv("c", "input", kernel=5),
            Add("d", ("a", "b", "c"), (1.0, 2.0, -0.5)),
        ],
        ["Conv"],
    ),
    "without any bias": (
        [conv("a", "input", bias=False), conv("b", "input", kernel=1, bias=False), Add("d", ("a", "b"), (1.0, 1.0))],
        ["Conv"],
    ),
    "convs and the identity together": (
        [
            conv("a", "input"),
            conv("b", "input", kernel=1),
            Add("c", ("a", "b", "input"), (1.0, 1.0, 1.0)),
            Activate("d", "c", RELU),
        ],
        ["Conv"],
    ),
    "a coefficient moves into its conv": (
        [Activate("x", "input", RELU), conv("a", "x"), Add("b", ("input", "a"), (1.0, 0.2))],
        ["Activate", "Conv", "Add"],
    ),
    "a value summed with itself": (
        [Activate("x", "input", RELU), Add("b", ("x", "x"), (1.0, 0.2))],
        ["Activate", "Add"],
    ),
    "a coefficient of zero": ([conv("a", "input"), Add("b", ("a", "input"), (0.0, 1.0))], ["Conv"]),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    nodes, expected = RULES[rule]
    graph = Graph.of(nodes, output=nodes[-1].output, in_channels=4, family="test")
    simple = graph.simplify()
    assert kinds(simple) == expected
    assert simple.output == graph.output
    np.testing.assert_allclose(run(simple), run(graph), rtol=0, atol=3e-6)


def test_coefficients_end_in_the_weights() -> None:
    graph = Graph.of(RULES["a coefficient moves into its conv"][0], output="b", in_channels=4, family="test").simplify()
    assert graph.nodes[-1] == Add("b", ("input", "a"), (1.0, 1.0))


def test_the_source_graph_is_left_alone() -> None:
    nodes = RULES["identity moves into the conv"][0]
    before = nodes[0].weight.copy() if isinstance(nodes[0], Conv) else None
    Graph.of(nodes, output="b", in_channels=4, family="test").simplify()
    assert isinstance(nodes[0], Conv)
    np.testing.assert_array_equal(nodes[0].weight, before)


def test_a_block_of_rrdb_keeps_one_sum() -> None:
    """Of the eight sums and scalings of an RRDB only the outer one is left: the others are in the weights."""
    graph = graph_from_state_dict(state_of(randomized(RRDBNet(width=8, growth=4, blocks=2), 3))).simplify()
    assert kinds(graph).count("Add") == 2 + 1
    assert kinds(graph).count("Scale") == 0
    assert kinds(graph).count("Activate") == 0


@pytest.mark.parametrize("module", [RRDBNet(width=8, growth=4, blocks=2), SRVGGNetCompact(width=8, convs=3, scale=2)])
def test_whole_networks_keep_their_function_field_and_scale(module: RRDBNet | SRVGGNetCompact) -> None:
    graph = graph_from_state_dict(state_of(randomized(module, 5)))
    lr = np.random.default_rng(0).random((1, 3, 12, 13), dtype=np.float32)
    simple = graph.simplify()
    np.testing.assert_allclose(TorchRunner(simple, threads=1)(lr), TorchRunner(graph, threads=1)(lr), rtol=0, atol=5e-6)
    assert simple.receptive_field == graph.receptive_field
    assert simple.macs_per_pixel == graph.macs_per_pixel
    assert kinds(simple.simplify()) == kinds(simple)
