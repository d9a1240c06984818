"""The memory that a tile has: of the host, of the device, and the speed with what fits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tiny import FakeRunner, compact
from tests.upscaling.test_tiled_run_out_of_memory import GRAPH, Array
from upres.errors import OutOfMemoryError
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import NetworkCost, make_plan
from upres.upscaling.tile_size import MIN_TILE_PX, choose_tiling
from upres.upscaling.upscaler import Upscaler

MIB = 1024**2


def test_the_room_of_a_tile_is_the_lesser_of_host_and_device() -> None:
    graph = compact(4, width=64)

    def tile(device_bytes: int | None, max_tile_px: int | None = None) -> int:
        settings: dict[str, Any] = {
            "channels": 3,
            "has_alpha": False,
            "depth": 8,
            "size": OutputSize(),
            "budget_bytes": 2000 * MIB,
        }
        made = make_plan(graph, 1000, 1000, device_bytes=device_bytes, max_tile_px=max_tile_px, **settings)
        return made.passes[0].tiling.tile_px

    host, small, smaller = tile(None), tile(100 * MIB), tile(20 * MIB)
    assert tile(1 << 40) == host > small > smaller > MIN_TILE_PX
    alone = choose_tiling(
        1000, 1000, graph, room_bytes=20 * MIB, bytes_per_px=graph.activation_bytes_per_pixel, tile_px=None, exact=False
    )
    assert smaller == alone.tile_px
    assert tile(0) == MIN_TILE_PX  # what a device calls free may be too little: it is asked all the same
    assert tile(None, max_tile_px=40) == tile(20 * MIB, max_tile_px=40) == 40


def test_an_engine_that_knows_the_memory_of_its_device_is_asked() -> None:
    class Card(FakeRunner):
        def device_bytes(self) -> int | None:
            return 5 * MIB

    class Unified(FakeRunner):
        def device_bytes(self) -> int | None:
            return None

    graph = compact(2, width=64)
    card, unified, plain = (Upscaler(graph, runner=runner) for runner in (Card(), Unified(), FakeRunner()))
    assert card.networks[0].cost == NetworkCost(graph, 1.0, 1, 5 * MIB)
    assert card.plan(300, 300).passes[0].tiling.tile_px < unified.plan(300, 300).passes[0].tiling.tile_px
    assert unified.plan(300, 300).passes == plain.plan(300, 300).passes
    chain = Upscaler([graph, graph], runner=Card())
    assert chain.plan(300, 300).passes[0].tiling.tile_px < card.plan(300, 300).passes[0].tiling.tile_px  # they share it


def test_the_speed_is_measured_with_what_fits() -> None:
    class Small(FakeRunner):
        def __call__(self, lr: Array) -> Array:
            if lr.shape[2] > 100:
                raise OutOfMemoryError("no")
            return super().__call__(lr)

    runner = Small()
    assert Upscaler(GRAPH, runner=runner).glance_macs_per_second() > 0
    assert runner.calls
    with pytest.raises(MemoryError):
        Upscaler(GRAPH, runner=FakeRunner(spoil_call=0, error=MemoryError())).macs_per_second(1.0)
