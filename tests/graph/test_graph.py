"""A graph names what does not fit in it, and is divided where the picture grows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, state_of
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Concat, Conv, Mul, Node, Resample


def weights(out: int, into: int, kernel: int = 3) -> np.ndarray:
    return np.ones((out, into, kernel, kernel), np.float32)


def graph_of(nodes: list[Node], channels: int = 3) -> Graph:
    return Graph.of(nodes, output=nodes[-1].output, in_channels=channels, family="test")


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([Conv("a", "nowhere", weights(3, 3))], "node 'a' reads 'nowhere', which no earlier node writes"),
        ([Conv("a", "input", weights(3, 4))], "conv 'a' expects 4 channels, but 'input' has 3"),
        ([Conv("a", "input", weights(3, 3), np.ones(4, np.float32))], r"expected a bias of shape \(3,\), got \(4,\)"),
        (
            [Conv("a", "input", np.ones((3, 3, 3, 5), np.float32))],
            r"expected weights \(out, in, k, k\), got \(3, 3, 3, 5\)",
        ),
        ([Conv("input", "input", weights(3, 3))], "another node already writes"),
        (
            [Activate("a", "input", Activation("prelu", slopes=np.ones(2, np.float32)))],
            r"slopes of shape \(3,\) or \(1,\), got \(2,\)",
        ),
        ([Conv("a", "input", weights(3, 3), activation=Activation("prelu"))], "got None"),
        (
            [Conv("a", "input", weights(4, 3), padding=1), Add("b", ("a", "input"), (1.0, 1.0))],
            "same shape, got a with 4 .* input with 3",
        ),
        ([Add("b", ("input", "input"), (1.0,))], "2 inputs, but 1 coefficients"),
        ([Add("b", ("input",), (1.0,))], "two or more inputs"),
        (
            [Resample("upsample_nearest", "a", "input", 2), Mul("b", ("a", "input"))],
            "got a with 3 .* at x2, input with 3 .* at x1",
        ),
        (
            [Resample("upsample_nearest", "a", "input", 2), Concat("b", ("a", "input"))],
            "concatenates values of different sizes: a, input",
        ),
        ([Resample("pixel_shuffle", "a", "input", 2)], "needs a multiple of 4 channels, got 3"),
        ([Resample("pixel_unshuffle", "a", "input", 2)], "the scale must be an integer, got 1/2"),
    ],
)
def test_what_does_not_fit_is_named(nodes: list[Node], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        graph_of(nodes)


def test_the_tail_of_rrdb_is_cut_off_where_the_picture_grows() -> None:
    graph = graph_from_state_dict(state_of(RRDBNet(width=8, growth=4, blocks=2))).simplify()
    parts = graph.split_at_tail()
    assert parts is not None
    trunk, tail = parts
    assert (trunk.scale, tail.scale) == (1, 4)
    assert (trunk.in_channels, trunk.out_channels, tail.in_channels, tail.out_channels) == (3, 8, 8, 3)
    assert trunk.nodes + tail.nodes == graph.nodes
    assert tail.receptive_field == 2
    assert trunk.macs_per_pixel + tail.macs_per_pixel == graph.macs_per_pixel


def test_what_has_no_tail() -> None:
    compact = SRVGGNetCompact(width=8, convs=1)  # its input crosses the cut too
    for module in (
        compact,
        RRDBNet(width=8, growth=4, blocks=1, ups=0),
        RRDBNet(width=8, growth=4, blocks=1, unshuffle=4),
    ):
        assert graph_from_state_dict(state_of(module)).split_at_tail() is None
    assert (
        graph_of(
            [Resample("upsample_nearest", "a", "input", 2), Conv("b", "a", weights(3, 3), padding=1)]
        ).split_at_tail()
        is None
    )


def test_a_graph_that_lies_about_itself_is_refused() -> None:
    nodes = (Conv("a", "input", weights(3, 3), padding=1),)
    with pytest.raises(ModelError, match=r"must be \(1, 3, 1\), got \(2, 3, 1\)"):
        Graph(nodes, "input", "a", scale=2, in_channels=3, out_channels=3, alignment=1, family="test")
    with pytest.raises(ModelError, match="no node writes the output 'z'"):
        Graph.of(nodes, output="z", in_channels=3, family="test")
