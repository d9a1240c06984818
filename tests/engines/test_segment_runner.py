"""A deep network by rows, segment after segment, against the network in one piece."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.graph.test_segments import rrdb
from upres import engines
from upres.engines.ncnn.arena import Arena
from upres.engines.ncnn.runner import NcnnRunner
from upres.engines.registry import NotedRunner
from upres.engines.sample_picture import sample
from upres.engines.segment_runner import BAND_ROWS, SegmentRunner
from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.graph.segments import segments

GRAPH = rrdb(6)


def in_segments(exact: bool, band_rows: int, threads: int = 1) -> SegmentRunner:
    arenas: list[Arena] = []

    def make(graph: Graph) -> NcnnRunner:
        return NcnnRunner(graph, threads=threads, exact=exact, arenas=arenas)

    return SegmentRunner(GRAPH, segments(GRAPH), make, band_rows)


@pytest.mark.parametrize("band_rows", [12, 48, 252])
@pytest.mark.parametrize(("height", "width"), [(200, 20), (61, 33), (12, 40), (1, 1)])
def test_rows_are_those_of_the_whole_network(band_rows: int, height: int, width: int) -> None:
    lr = sample(3, height, width)
    whole = NcnnRunner(GRAPH, threads=1)(lr)
    largest = max(1.0, float(np.abs(whole).max()))  # of random weights
    assert np.abs(in_segments(False, band_rows)(lr) - whole).max() < 1e-5 * largest


def test_without_winograd_they_are_equal_to_the_bit() -> None:
    lr = sample(3, 150, 20)
    np.testing.assert_array_equal(in_segments(True, 24)(lr), NcnnRunner(GRAPH, threads=1, exact=True)(lr))


def test_one_thread_gives_the_same() -> None:
    runner, lr = in_segments(False, 48, threads=2), sample(3, 100, 24)
    np.testing.assert_array_equal(runner.in_one_thread(lr), runner(lr))
    assert runner.parallel_calls == 2


def test_deep_networks_run_so_by_default() -> None:
    runner = engines.load(GRAPH, engine="ncnn")
    assert isinstance(runner, SegmentRunner)
    assert not isinstance(engines.load(rrdb(1), engine="ncnn"), SegmentRunner)
    assert BAND_ROWS < runner.most_rows < 4 * BAND_ROWS
    assert NotedRunner(runner, ("a note",)).most_rows == runner.most_rows
    runner.close()
    with pytest.raises(EngineError, match="closed"):
        runner(sample(3, 8, 8))


def test_no_value_is_whole_in_memory() -> None:
    """Between the segments are at most two bands and what they read."""
    seen: list[int] = []

    class Watched:
        def __init__(self, graph: Graph) -> None:
            self._runner = NcnnRunner(graph, threads=1, exact=True)

        def __getattr__(self, name: str) -> object:
            return getattr(self._runner, name)

        def __call__(self, lr: Array) -> Array:
            seen.append(lr.shape[2])
            return self._runner(lr)

    make: Callable[[Graph], NcnnRunner] = Watched  # type: ignore[assignment]
    SegmentRunner(GRAPH, segments(GRAPH), make, 24)(sample(3, 300, 4))
    assert max(seen) <= 24 + 2 * 16
