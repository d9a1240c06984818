"""Time, memory and size of models."""

from __future__ import annotations

import mmap
import sys
import time

import pytest

from tests.tiny import FakeRunner, compact
from upres.evaluation.costs import Costs, facts_of, share_memory
from upres.upscaling.upscaler import Upscaler


def test_seconds_are_summed_and_divided_by_megapixels() -> None:
    costs = Costs()
    assert costs.seconds_per_megapixel is None
    for _ in range(2):
        with costs.measure(500_000):
            time.sleep(0.02)
    assert costs.megapixels == 1.0 and 0.04 <= costs.seconds < 2.0
    assert costs.seconds_per_megapixel == costs.seconds


def test_a_failure_counts_nothing() -> None:
    costs = Costs()
    with pytest.raises(ValueError, match="no"), costs.measure(10):
        raise ValueError("no")
    assert costs == Costs()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux counts a peak anew")
def test_memory_is_the_growth_while_it_ran() -> None:
    costs = Costs()
    with costs.measure(1_000_000), mmap.mmap(-1, 50_000_000) as block:  # new pages: the allocator may have old ones
        for _ in range(50):
            block.write(bytes(1_000_000))
    if costs.bytes_per_megapixel is None:
        pytest.skip("this kernel does not reset the peak")
    assert 45e6 < costs.bytes_per_megapixel < 120e6
    costs.bytes_per_megapixel = None
    with costs.measure(1_000_000):
        pass
    assert costs.bytes_per_megapixel is not None and costs.bytes_per_megapixel < 30e6  # the peak before does not count


def test_memory_kept_from_one_set_counts_for_the_next() -> None:
    sets = [{"a": Costs(1.0, 1.0, 4e8), "b": Costs()}, {"a": Costs(2.0, 1.0, 0.0), "c": Costs(1.0, 1.0, 5.0)}]
    share_memory(sets)
    assert [one["a"].bytes_per_megapixel for one in sets] == [4e8, 4e8]
    assert sets[1]["a"].seconds == 2.0 and sets[1]["c"].bytes_per_megapixel == 5.0
    assert sets[0]["b"].bytes_per_megapixel is None


def test_facts_of_a_network_and_of_a_chain() -> None:
    graph = compact(2)
    one = Upscaler(graph, runner=FakeRunner(2), reference=FakeRunner(2))
    facts = facts_of(one, ("abc",))
    assert (facts.sha256, facts.parameters) == (("abc",), graph.parameters)
    assert facts.macs_per_pixel == graph.macs_per_pixel / 4
    chain = facts_of(Upscaler((graph, graph), engine="ncnn"), ())
    assert chain.parameters == 2 * graph.parameters
    assert chain.macs_per_pixel == pytest.approx(graph.macs_per_pixel * (1 + 4) / 16)
