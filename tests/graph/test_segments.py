"""A deep graph as a chain of shallow ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.tiny import compact
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Add, Array, Conv
from upres.graph.segments import segments


def rrdb(blocks: int, width: int = 8, growth: int = 4) -> Graph:
    """An RRDBNet of scale 4 with random weights."""
    rng = np.random.default_rng(blocks)

    def conv(taken: int, given: int) -> tuple[Array, Array]:
        weight = rng.standard_normal((given, taken, 3, 3)) * 0.5 / np.sqrt(taken)
        return weight.astype(np.float32), (rng.standard_normal(given) * 0.01).astype(np.float32)

    layers = {"conv_first": conv(3, width), "conv_body": conv(width, width), "conv_hr": conv(width, width)}
    layers |= {"conv_up1": conv(width, width), "conv_up2": conv(width, width), "conv_last": conv(width, 3)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for index in range(5):
                given = width if index == 4 else growth
                name = f"body.{block}.rdb{dense}.conv{index + 1}"
                layers[name] = conv(width + index * growth, given)
    state: dict[str, Array] = {}
    for name, (weight, bias) in layers.items():
        state |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return graph_from_state_dict(state).simplify()


def test_an_rrdbnet_is_cut_at_its_blocks() -> None:
    graph = rrdb(3)
    parts = segments(graph)
    assert [part.output for part in parts] == ["first", "body.0", "body.1", "body", "trunk", "output"]
    reaches = [None if part.graph is None else part.graph.receptive_field for part in parts]
    assert reaches == [1, 15, 15, 16, None, 2]
    assert [part.sum is not None for part in parts] == [False] * 4 + [True, False]
    assert parts[4].sum is not None
    assert set(parts[4].sum.inputs) == {"first", "body"}


def test_every_node_is_in_one_segment() -> None:
    graph = rrdb(2)
    parts = segments(graph)
    assert sum(1 if part.graph is None else len(part.graph.nodes) for part in parts) == len(graph.nodes)
    for before, after in pairwise(parts):
        assert after.source == before.output


def test_where_no_cut_helps_the_graph_is_one_segment() -> None:
    graph = compact(4, width=8, depth=4)  # its input is added at the end
    (part,) = segments(graph)
    assert part.graph is graph


def test_values_read_from_far_back_are_not_cut() -> None:
    """Two sums, each with a value from before the other: no chain of parts with one input each."""
    weight = np.zeros((3, 3, 3, 3), np.float32)
    nodes = [
        Conv("a", "input", weight, padding=1),
        Conv("b", "a", weight, padding=1),
        Conv("c", "b", weight, padding=1),
        Add("d", ("c", "a"), (1.0, 1.0)),
        Conv("e", "d", weight, padding=1),
        Add("f", ("e", "b"), (1.0, 0.5)),
    ]
    graph = Graph.of(nodes, output="f", in_channels=3, family="woven")
    (part,) = segments(graph)
    assert part.graph is graph
