"""A network without its weights: as much work, one digest for one structure, and made-up weights that it runs with."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.tiny import aligned_graph, compact, gray_graph
from upres import engines
from upres.graph.graph import Graph
from upres.graph.serialize import digest, structure, with_random_weights
from upres.models.load import load_model


def test_a_network_without_its_weights_is_as_much_work() -> None:
    for graph in (compact(2), aligned_graph(), gray_graph(), load_model("compact-x4").graph):
        described = json.loads(json.dumps(structure(graph)))
        made = with_random_weights(described)
        for ours, theirs in ((graph, made), (graph.simplify(), made.simplify())):
            assert ours.macs_per_pixel == theirs.macs_per_pixel
            assert ours.activation_bytes_per_pixel == theirs.activation_bytes_per_pixel
            assert ours.receptive_field == theirs.receptive_field
        assert (made.scale, made.in_channels, made.alignment) == (graph.scale, graph.in_channels, graph.alignment)
        assert structure(made) == described
        assert len(json.dumps(described)) < 400 * len(graph.nodes) + 400  # no weight is in it


def test_the_digest_is_of_the_structure_alone() -> None:
    assert digest(structure(compact(2, seed=1))) == digest(structure(compact(2, seed=2)))
    assert (
        len({digest(structure(graph)) for graph in (compact(2), compact(3), compact(2, width=5), compact(2, depth=3))})
        == 4
    )


@pytest.mark.parametrize("graph", [compact(4, width=32, depth=12), aligned_graph(), gray_graph()])
def test_made_up_weights_keep_values_in_the_range_of_numbers(graph: Graph) -> None:
    runner = engines.load(with_random_weights(structure(graph)), engine="ncnn", threads=1)
    sr = runner(np.full((1, graph.in_channels, 16, 16), 0.5, np.float32))
    assert 1e-6 < np.abs(sr).max() < 1e3
