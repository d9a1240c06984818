"""A pass by rows, against the pass over the whole picture, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.tiny import aligned_graph, compact, gray_graph
from tests.upscaling.test_tiled_run_out_of_memory import Short
from tests.upscaling.test_tiled_run_rooms import MIB
from upres.errors import OutOfMemoryError
from upres.images.io import quantize
from upres.images.rows import StreamedRows
from upres.upscaling.row_pass import Finish, run_rows
from upres.upscaling.tiled_run import Array, Meter, run_pass
from upres.upscaling.upscaler import Upscaler

GRAPHS = {"compact": compact(2, width=8, depth=4, strength=0.01), "aligned": aligned_graph(), "gray": gray_graph()}


def _append(told: list[tuple[int, int]], done: int, total: int) -> None:
    told.append((done, total))


def streamed(pixels: Array) -> StreamedRows:
    def bands() -> Iterator[Array]:
        for top in range(0, len(pixels), 19):
            yield pixels[top : top + 19]

    return StreamedRows(pixels.shape, bands())


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("tile_px", [16, 40, 500])
def test_bands_are_those_of_the_whole_pass(name: str, threads: int, tile_px: int) -> None:
    upscaler = Upscaler(GRAPHS[name], engine="ncnn", threads=threads, tile_px=tile_px)
    network = upscaler.networks[0]
    for shape in ((63, 47, 3), (11, 90, 1)):
        pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
        plan = upscaler.plan(*shape[:2], channels=shape[2])
        told, told_by_rows = list[tuple[int, int]](), list[tuple[int, int]]()
        network.begin()
        whole = run_pass(network, pixels, plan.passes[0], Meter(plan, partial(_append, told)))
        bands = list(run_rows(network, streamed(pixels), plan.passes[0], Meter(plan, partial(_append, told_by_rows))))
        np.testing.assert_array_equal(np.concatenate(bands), whole)
        assert told[-1] == told_by_rows[-1]
        assert len(told) == len(told_by_rows)


def test_tiles_can_be_finished_in_their_threads() -> None:
    upscaler = Upscaler(GRAPHS["compact"], engine="ncnn", threads=2, tile_px=16)
    network, pixels = upscaler.networks[0], np.random.default_rng(1).random((50, 40, 3), dtype=np.float32)
    plan = upscaler.plan(50, 40)
    network.begin()
    whole = run_pass(network, pixels, plan.passes[0], Meter(plan, None))
    finish = Finish(lambda band: quantize(band, 8), np.dtype(np.uint8), 3)
    bands = list(run_rows(network, streamed(pixels), plan.passes[0], Meter(plan, None), finish))
    assert len(bands) == 4
    np.testing.assert_array_equal(np.concatenate(bands), quantize(whole, 8))


@pytest.mark.parametrize("rooms", [{0: 3600}, {0: 1 << 40, 2: 2800}, {0: 1 << 40, 1: 3600, 7: 2300}])
@pytest.mark.parametrize("error", [None, MemoryError()])
def test_memory_that_runs_short_changes_no_bit(rooms: dict[int, int], error: Any) -> None:
    graph = GRAPHS["compact"]
    pixels = np.random.default_rng(2).random((160, 150, 3), dtype=np.float32)
    results: list[Array] = []
    for found in ({0: 1 << 40}, rooms):
        upscaler = Upscaler(graph, runner=Short(graph, found, error), tile_px=80, exact=True)
        plan, network = upscaler.plan(160, 150), upscaler.networks[0]
        network.begin()
        results.append(np.concatenate(list(run_rows(network, streamed(pixels), plan.passes[0], Meter(plan, None)))))
    np.testing.assert_array_equal(results[1], results[0])
    assert network.max_tile_px is not None


def test_the_smallest_tile_that_does_not_fit_is_an_error() -> None:
    graph = GRAPHS["compact"]
    upscaler = Upscaler(graph, runner=Short(graph, {0: 10}), memory_bytes=512 * MIB)
    plan = upscaler.plan(90, 100)
    with pytest.raises(OutOfMemoryError, match="No smaller tile helps"):
        list(
            run_rows(
                upscaler.networks[0], streamed(np.zeros((90, 100, 3), np.float32)), plan.passes[0], Meter(plan, None)
            )
        )


def test_an_error_of_a_tile_ends_the_pass() -> None:
    class Broken(Short):
        def __call__(self, lr: Array) -> Array:
            raise ZeroDivisionError

    graph = GRAPHS["compact"]
    upscaler = Upscaler(graph, runner=Broken(graph, {0: 1 << 40}), tile_px=16)
    plan = upscaler.plan(50, 40)
    with pytest.raises(ZeroDivisionError):
        next(
            run_rows(
                upscaler.networks[0], streamed(np.zeros((50, 40, 3), np.float32)), plan.passes[0], Meter(plan, None)
            )
        )
