from __future__ import annotations

import pytest

from tests.tiny import FakeRunner, aligned_graph, compact, far_seeing_graph
from upres.errors import InputError
from upres.upscaling.output_size import OutputSize
from upres.upscaling.passes import count_passes
from upres.upscaling.plan import Plan, make_plan
from upres.upscaling.tile_size import MIN_TILE_PX, WIDE_FIELD_PX
from upres.upscaling.upscaler import Upscaler

MIB = 1024**2
GIB = 1024**3


def plan(
    height: int,
    width: int,
    *,
    scale: int = 4,
    size: OutputSize | None = None,
    budget: int = 8 * GIB,
    tile_px: int | None = None,
) -> Plan:
    return make_plan(
        compact(scale, width=64),
        height,
        width,
        channels=3,
        has_alpha=False,
        depth=8,
        size=size or OutputSize(),
        budget_bytes=budget,
        tile_px=tile_px,
    )


@pytest.mark.parametrize(
    ("target", "passes", "words"),
    [
        ((400, 400), 1, ""),
        ((250, 250), 1, ""),
        ((101, 100), 1, ""),
        ((450, 450), 1, ""),
        ((100, 100), 0, "cubic interpolation was used"),
        ((50, 50), 0, "cubic interpolation was used"),
        ((800, 800), 2, "more than x4: the network ran twice and its result was resized"),
        ((1600, 1600), 2, "the x4 network ran twice to reach x16"),
        ((3200, 3200), 2, "more than x16: .*adds no detail"),
    ],
)
def test_passes_for_a_network_of_x4(target: tuple[int, int], passes: int, words: str) -> None:
    count, notes = count_passes(100, 100, target, 4)
    assert count == passes
    assert len(notes) == bool(words)
    if words:
        import re

        assert re.search(words, notes[0])


def test_a_picture_is_cleaned_at_its_own_size_where_that_is_asked_for() -> None:
    assert count_passes(100, 100, (100, 100), 4, clean=True) == (1, ())
    assert count_passes(100, 100, (99, 100), 4, clean=True)[0] == 0


def test_a_network_of_x1_runs_once_whatever_the_size() -> None:
    assert count_passes(10, 10, (10, 10), 1) == (1, ())
    count, notes = count_passes(10, 10, (20, 20), 1)
    assert count == 1
    assert "does not enlarge" in notes[0]


def test_a_small_picture_is_one_tile_and_costs_what_the_graph_says() -> None:
    result = plan(64, 48)
    assert (result.height, result.width, result.pixels) == (256, 192, 256 * 192)
    assert result.passes[0].tiling.work == 1.0
    assert result.macs == 64 * 48 * compact(4, width=64).macs_per_pixel


def test_less_memory_makes_smaller_tiles_and_more_work_until_it_is_refused() -> None:
    tiles, works = [], []
    for budget in (3 * GIB, 600 * 1024**2, 440 * 1024**2):
        result = plan(1000, 1500, budget=budget)
        assert result.needed_bytes <= budget
        tiles.append(result.passes[0].tiling.tile_px)
        works.append(result.passes[0].tiling.work)
    assert tiles == sorted(tiles, reverse=True)
    assert works == sorted(works)
    with pytest.raises(
        InputError, match=r"an output of 6000 x 4000 needs \d+ MB of memory, and 300 MB may be used .*`memory_bytes`"
    ):
        plan(1000, 1500, budget=300 * 1024**2)


def test_the_needed_memory_in_the_message_is_enough() -> None:
    for height, width in ((1000, 1500), (40, 9000), (300, 300)):
        low, high = 0, 8 * GIB
        while high - low > 1024**2:  # the smallest budget that is accepted
            middle = (low + high) // 2
            try:
                plan(height, width, budget=middle)
                high = middle
            except InputError:
                low = middle
        # input, and the result in float32 beside its 8-bit copy while it is written
        arrays = height * width * (3 * 4 + 16 * 3 * 6)
        assert high >= 0.9 * arrays
        tile = MIN_TILE_PX + 2 * compact(4, width=64).receptive_field + 2
        assert high <= arrays + tile**2 * compact(4, width=64).activation_bytes_per_pixel + 2 * 1024**2


def test_the_tile_asked_for_is_taken() -> None:
    assert plan(100, 100, tile_px=32).passes[0].tiling.tile_px == 32
    assert plan(100, 100, tile_px=5000).passes[0].tiling.tile_px == 100


def far_plan(*, exact: bool, budget: int) -> Plan:
    graph = far_seeing_graph(200)
    return make_plan(
        graph,
        3000,
        3000,
        channels=1,
        has_alpha=False,
        depth=8,
        size=OutputSize(),
        budget_bytes=budget,
        workspace_factor=10.0,  # an engine that takes much
        exact=exact,
    )


def test_a_wide_field_is_tiled_exactly_while_that_is_affordable() -> None:
    result = far_plan(exact=False, budget=GIB)
    assert result.passes[0].tiling.overlap_px == 200
    assert result.notes == ()


def test_a_wide_field_is_cut_with_a_note_when_memory_is_short_unless_exact() -> None:
    budget = 3000 * 3000 * 10 + 22_000_000
    cut = far_plan(exact=False, budget=budget)
    assert cut.passes[0].tiling.overlap_px == 64
    assert "overlap of 64 px, less than the network's receptive field of 200 px" in cut.notes[0]
    whole = far_plan(exact=True, budget=budget)
    assert whole.passes[0].tiling.overlap_px == 200
    assert whole.notes == ()
    assert whole.macs > cut.macs


def test_two_passes_cost_seventeen_times_one() -> None:
    assert plan(20, 20, size=OutputSize(factor=16)).macs == pytest.approx(17 * plan(20, 20).macs)


def test_alpha_costs_as_much_as_the_color() -> None:
    graph = compact(4)
    with_alpha, without = (
        make_plan(graph, 20, 20, channels=3, has_alpha=alpha, depth=8, size=OutputSize(), budget_bytes=GIB)
        for alpha in (True, False)
    )
    assert with_alpha.macs == 2 * without.macs


def test_how_much_is_put_around() -> None:
    graph = compact(2, width=8, depth=3)
    (step,) = Upscaler(graph, runner=FakeRunner(), wrap=True).plan(50, 50).passes
    assert step.margin_px == graph.receptive_field
    far = far_seeing_graph(300)
    small, large = (Upscaler(far, runner=FakeRunner(1), wrap=True).plan(side, side, channels=1) for side in (100, 2000))
    assert small.passes[0].margin_px == WIDE_FIELD_PX
    assert "receptive field of 300 px" in small.notes[0]
    assert large.passes[0].margin_px == 300
    exact = Upscaler(far, runner=FakeRunner(1), wrap=True, exact=True).plan(100, 100, channels=1)
    assert exact.passes[0].margin_px == 300
    assert exact.macs == pytest.approx(700 * 700 * far.macs_per_pixel)


def test_a_chain_is_planned_pass_by_pass() -> None:
    one, two, four = aligned_graph(), compact(2, width=8), compact(4, width=16)
    plan = Upscaler([one, two, four], runner=FakeRunner(), memory_bytes=512 * MIB).plan(50, 60)
    assert (plan.height, plan.width) == (400, 480)
    assert [(step.place, step.height, step.width) for step in plan.passes] == [(0, 50, 60), (1, 50, 60), (2, 100, 120)]
    alone = [50 * 60 * one.macs_per_pixel, 50 * 60 * two.macs_per_pixel, 100 * 120 * four.macs_per_pixel]
    assert plan.macs == pytest.approx(sum(alone))
    assert [step.tiling.overlap_px for step in plan.passes] == [graph.receptive_field for graph in (one, two, four)]
    assert plan.needed_bytes >= plan.array_bytes + sum(step.tiling.source_bytes for step in plan.passes)


def test_beyond_its_factor_a_chain_runs_again_without_its_repairs() -> None:
    plan = Upscaler([aligned_graph(), compact(2)], runner=FakeRunner()).plan(10, 12, size=OutputSize(factor=4))
    assert [step.place for step in plan.passes] == [0, 1, 1]
    assert (plan.passes[-1].height, plan.passes[-1].width) == (20, 24)


def test_a_chain_keeps_to_its_memory_and_refuses_early() -> None:
    chain = [compact(2, width=64), compact(2, width=64, seed=1)]
    upscaler = Upscaler(chain, runner=FakeRunner(), memory_bytes=64 * MIB)
    plan = upscaler.plan(200, 200)
    assert plan.needed_bytes <= 64 * MIB
    assert plan.passes[1].tiling.tile_px < 400
    with pytest.raises(InputError, match="an output of 8000 x 8000 needs"):
        upscaler.plan(2000, 2000)
