"""Cutting a network's tail into tiles changes nothing in the result, and the cut is made where it saves memory."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres import engines
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.runner import Runner
from upres.engines.split_runner import TailRunner
from upres.engines.torch import TorchRunner
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph

RRDB = graph_from_state_dict(state_of(randomized(RRDBNet(width=16, growth=8, blocks=1), 3))).simplify()


def make(graph: Graph, engine: str) -> Runner:
    return (
        TorchRunner(graph, threads=1)
        if engine == "torch"
        else NcnnRunner(graph, threads=1, exact=engine == "ncnn exact")
    )


@pytest.mark.parametrize("engine", ["torch", "ncnn exact", "ncnn"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 150), (64, 65), (131, 70)])
def test_equals_the_undivided_network(engine: str, height: int, width: int) -> None:
    lr = np.random.default_rng(8).random((1, 3, height, width), dtype=np.float32)
    parts = RRDB.split_at_tail()
    assert parts is not None
    divided = TailRunner(RRDB, *parts, lambda part: make(part, engine))(lr)
    whole = make(RRDB, engine)(lr)
    if engine == "ncnn":  # Winograd
        np.testing.assert_allclose(divided, whole, rtol=0, atol=2e-5)
    else:
        np.testing.assert_array_equal(divided, whole)


def test_all_tiles_of_a_picture_have_one_size() -> None:
    """Or the pools would hold blocks of every size."""
    shapes: list[tuple[int, ...]] = []
    parts = RRDB.split_at_tail()
    assert parts is not None

    def recorded(graph: Graph) -> Runner:
        runner = make(graph, "ncnn")
        if graph is parts[0]:
            return runner

        class Recorder(NcnnRunner):
            def __call__(self, lr: np.ndarray) -> np.ndarray:
                shapes.append(lr.shape)
                return super().__call__(lr)

        return Recorder(graph, threads=1)

    TailRunner(RRDB, *parts, recorded)(np.zeros((1, 3, 200, 131), np.float32))
    assert len(shapes) == 4 * 3
    assert len(set(shapes)) == 1


def test_load_divides_where_it_saves_memory() -> None:
    assert isinstance(engines.load(RRDB), TailRunner)
    assert (
        engines.load(RRDB).memory_factor
        < engines.load(graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1)))).memory_factor
    )
    assert isinstance(engines.load(graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1)))), NcnnRunner)
