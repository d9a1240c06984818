"""Which tiles, and how many at once: the cost model, on networks of known reach and cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tiny import compact
from upres.engines.tiles import plan
from upres.graph.graph import Graph
from upres.models.load import load_model
from upres.upscaling.tile_size import Tiling, choose_tiling

ROOM = 4 << 30
HOUSE = {"bytes_per_px": 6 * 576.0, "grid_px": 12}


def chosen(graph: Graph, height: int, width: int, workers: int, **settings: Any) -> Tiling:
    settings = {"room_bytes": ROOM, "tile_px": None, "exact": False, **HOUSE, **settings}
    return choose_tiling(height, width, graph, workers=workers, **settings)


@pytest.fixture(scope="module")
def house() -> Graph:
    return load_model("compact-x4").graph.simplify()


def test_a_picture_is_cut_into_as_many_bands_as_threads(house: Graph) -> None:
    found = chosen(house, 512, 512, 2)
    assert (found.workers, sorted(found.kept)) == (2, [256, 512])
    assert chosen(house, 512, 512, 1).tile_px == 512


def test_a_small_picture_is_not_cut(house: Graph) -> None:
    found = chosen(house, 96, 96, 2)
    assert (found.workers, found.tile_px, found.work) == (1, 96, 1.0)


def test_the_exact_overlap_of_a_deep_network_is_not_paid_for_threads() -> None:
    """A picture that would run whole runs whole: its tiles would overlap by more than they keep."""
    deep = compact(2, width=4, depth=100)  # reaches 102 px
    found = chosen(deep, 256, 256, 2)
    assert (found.workers, found.tile_px, found.overlap_px) == (1, 256, deep.receptive_field + 12)


@pytest.mark.parametrize("workers", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("size", [(700, 900), (3000, 4000), (64, 5000)])
def test_tiles_at_once_cost_the_busiest_thread_less(house: Graph, size: tuple[int, int], workers: int) -> None:
    found = chosen(house, *size, workers)
    whole = chosen(house, *size, 1)
    tiles = plan(*size, tile_px=found.kept, overlap_px=found.overlap_px, grid_px=12)
    assert 2 <= found.workers <= min(workers, len(tiles))
    assert found.source_bytes <= ROOM
    assert found.tile_bytes >= max(tile.source_px for tile in tiles) * HOUSE["bytes_per_px"] - 1
    assert found.work == pytest.approx(sum(tile.source_px for tile in tiles) / (size[0] * size[1]))
    turns = -(-len(tiles) // found.workers)
    assert found.work * turns / len(tiles) < whole.work / workers**0.75 * 1.06


def test_memory_limits_the_tiles_at_once(house: Graph) -> None:
    rooms = [1 << 40, 1 << 30, 200 << 20, 60 << 20]
    found = [chosen(house, 1500, 1500, 16, room_bytes=room) for room in rooms]
    assert all(tiling.source_bytes <= room for tiling, room in zip(found, rooms, strict=True))
    assert all(tiling.tile_px for tiling in found)


def test_given_tiles_are_kept_and_run_at_once(house: Graph) -> None:
    found = chosen(house, 512, 500, 4, tile_px=200)
    assert (found.kept, found.workers) == ((200, 200), 4)
    assert chosen(house, 512, 500, 4, tile_px=600).workers == 1


def test_the_overlap_is_clipped_to_the_picture(house: Graph) -> None:
    """Tiles at the border, or larger than the picture, do not read beyond it: the work is that of the tiles."""
    for tile_px in (20, 64, 100, 500):
        found = chosen(house, 130, 70, 1, tile_px=tile_px)
        tiles = plan(130, 70, tile_px=found.kept, overlap_px=found.overlap_px, grid_px=12)
        assert found.work == pytest.approx(sum(tile.source_px for tile in tiles) / (130 * 70))
        assert found.work <= len(tiles)


def test_what_one_tile_takes_is_its_share() -> None:
    assert replace(Tiling(8, 2, 600, 1.0), workers=3).tile_bytes == 200
