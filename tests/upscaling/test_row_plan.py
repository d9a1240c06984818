"""Plans by rows: memory grows with the width, and every limit is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.graph.test_segments import rrdb
from tests.tiny import FakeRunner, compact
from upres.errors import InputError
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import NetworkCost
from upres.upscaling.plans import USUAL_BYTES
from upres.upscaling.row_plan import RowJob, make_row_plan
from upres.upscaling.upscaler import Upscaler

MIB = 1 << 20
COST = NetworkCost(compact(4, width=32, depth=16), 6.0, 12, workers=2, fixed_bytes=10 * MIB)


def test_memory_does_not_grow_with_the_height() -> None:
    needed = [
        make_row_plan((COST,), RowJob(height, 1000), 600 * MIB).needed_bytes for height in (2000, 20_000, 200_000)
    ]
    assert max(needed) - min(needed) < 0.1 * max(needed)
    assert max(needed) <= 600 * MIB


@pytest.mark.parametrize("limit", [160, 300, 900, 3000])
def test_every_limit_is_kept_and_more_memory_never_costs_time(limit: int) -> None:
    job = RowJob(3000, 4000)
    plan = make_row_plan((COST,), job, limit * MIB)
    assert plan.by_rows
    assert plan.array_bytes < plan.needed_bytes <= limit * MIB
    assert make_row_plan((COST,), job, 2 * limit * MIB).macs <= plan.macs


def test_what_does_not_fit_is_refused_with_what_it_needs() -> None:
    with pytest.raises(InputError, match=r"an output of 400000 x 40000 needs 2.0 GB of memory, and 100 MB may"):
        make_row_plan((COST,), RowJob(10_000, 100_000), 100 * MIB)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"streamed": False}, "the input in memory"),
        ({"format": "webp"}, "an encoder that holds the picture"),
        ({"has_alpha": True, "streamed": False}, "alpha"),
        ({"depth": 16}, "samples of two bytes"),
        ({"size": OutputSize(factor=3.0)}, "a resize"),
    ],
)
def test_what_is_held_beside_the_tiles_is_counted(change: dict[str, object], word: str) -> None:
    job = RowJob(3000, 3000)
    plain, more = (make_row_plan((COST,), one, 4000 * MIB) for one in (job, replace(job, **change)))  # type: ignore[arg-type]
    assert more.array_bytes > plain.array_bytes, word


def test_passes_of_a_chain_share_the_memory() -> None:
    chain = (replace(COST, graph=compact(2, width=16)), replace(COST, graph=compact(2, width=16)))
    plan = make_row_plan(chain, RowJob(1000, 1500), 400 * MIB)
    assert [(step.height, step.width) for step in plan.passes] == [(1000, 1500), (2000, 3000)]
    assert plan.needed_bytes <= 400 * MIB


def test_a_deep_network_that_runs_in_segments_is_exact_in_tall_tiles() -> None:
    graph = rrdb(12, width=64, growth=32)
    one = NetworkCost(graph, 2.0, 12, workers=1, most_rows=500)
    exact = make_row_plan((one,), RowJob(4000, 256), 3000 * MIB)
    assert exact.passes[0].tiling.overlap_px >= graph.receptive_field
    whole = make_row_plan((replace(one, most_rows=None),), RowJob(4000, 256), 3000 * MIB)
    assert exact.macs < whole.macs


def test_without_a_limit_no_more_than_usual_is_taken() -> None:
    upscaler = Upscaler(compact(4, width=32, depth=16), runner=FakeRunner())
    assert upscaler.plan_rows(RowJob(3000, 4000)).needed_bytes <= USUAL_BYTES[0]
    limited = Upscaler(compact(4, width=32, depth=16), runner=FakeRunner(), memory_bytes=3000 * MIB)
    assert USUAL_BYTES[1] < limited.plan_rows(RowJob(30_000, 40_000)).needed_bytes <= 3000 * MIB
