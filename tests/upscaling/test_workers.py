"""Tiles at once: how many, in which thread, and what follows when one fails."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from tests.tiny import compact, noise
from upres.engines.tiles import Tile
from upres.errors import EngineError, OutOfMemoryError
from upres.upscaling.plan import Plan
from upres.upscaling.tile_size import Tiling
from upres.upscaling.tiled_run import Cancelled
from upres.upscaling.upscaler import Upscaler
from upres.upscaling.workers import run_at_once


def tiles(count: int) -> list[Tile]:
    """Told apart by their first row."""
    return [Tile(index, index + 1, 0, 1, index, index + 1, 0, 1) for index in range(count)]


def test_as_many_tiles_run_at_once_as_there_are_workers() -> None:
    """Each waits for two others: with fewer workers the barrier would break. Progress is told in this thread."""
    barrier = threading.Barrier(3, timeout=30)
    done: list[tuple[int, int]] = []
    left = tiles(9)

    def run(tile: Tile) -> None:
        barrier.wait()

    short = run_at_once(3, left, run, lambda tile: done.append((tile.keep_top, threading.get_ident())))
    assert (short, left) == (None, [])
    assert sorted(top for top, _ in done) == list(range(9))
    assert {thread for _, thread in done} == {threading.get_ident()}


@pytest.mark.parametrize("workers", [1, 3])
def test_tiles_start_from_the_end_and_the_short_one_comes_back_last(workers: int) -> None:
    left = tiles(6)
    done: list[int] = []

    def run(tile: Tile) -> None:
        if tile.keep_top == 3:
            raise OutOfMemoryError("too large")

    short = run_at_once(workers, left, run, lambda tile: done.append(tile.keep_top))
    assert str(short) == "too large"
    assert left[-1].keep_top == 3
    assert sorted([*done, *(tile.keep_top for tile in left)]) == list(range(6))  # none is lost or run twice
    assert {4, 5} <= set(done)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_other_error_ends_the_job_after_the_running_tiles(workers: int) -> None:
    left = tiles(50)
    begun: list[int] = []
    ended: list[int] = []

    def run(tile: Tile) -> None:
        begun.append(tile.keep_top)
        if tile.keep_top == 47:
            raise EngineError("broken")
        ended.append(tile.keep_top)

    with pytest.raises(EngineError, match="broken"):
        run_at_once(workers, left, run, lambda tile: None)
    assert sorted([*ended, 47]) == sorted(begun)  # nothing is left running
    assert len(begun) < 50


def test_cancelling_starts_no_other_tile() -> None:
    left = tiles(50)
    begun: list[int] = []

    def finished(tile: Tile) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run_at_once(2, left, lambda tile: begun.append(tile.keep_top), finished)
    assert len(begun) <= 4


@pytest.mark.parametrize("exact", [False, True])
def test_a_picture_is_the_same_to_the_bit_with_any_number_of_workers(exact: bool) -> None:
    """The tiles are given: their size is the only thing that may change the last bits of Winograd's sums."""
    graph, lr = compact(2, width=16, strength=1.0), noise(150, 130)
    results: list[np.ndarray] = []
    for threads in (1, 2, 3):
        with Upscaler(graph, tile_px=50, threads=threads, exact=exact) as upscaler:
            assert upscaler.plan(150, 130).passes[0].tiling.workers == threads
            results.append(upscaler.upscale_array(lr))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_progress_of_tiles_at_once_rises_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    with Upscaler(compact(2, width=16), tile_px=40, threads=2) as upscaler:
        upscaler.upscale_array(noise(120, 120), progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len(told) == 10  # nine tiles and the end
    assert told[-1] == (240 * 240, 240 * 240)


def test_a_plan_says_how_many_tiles_run_at_once() -> None:
    upscaler = Upscaler(compact(2, width=16), threads=2)
    plan: Plan = upscaler.plan(1000, 800)
    tiling: Tiling = plan.passes[0].tiling
    assert tiling.workers == 2
    assert plan.needed_bytes == plan.array_bytes + tiling.source_bytes + upscaler.networks[0].cost.fixed_bytes
