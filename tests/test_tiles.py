from __future__ import annotations

import itertools

import numpy as np
import pytest

from upres.errors import UsageError
from upres.tiles import plan

CASES = list(itertools.product([(1, 1), (4, 100), (20, 12), (64, 96), (3, 20000)], [1, 16, 37, 5000], [0, 3, 18, 348], [1, 2, 4]))


@pytest.mark.parametrize(("size", "tile", "overlap", "alignment"), CASES)
def test_kept_parts_cover_the_picture_once_and_see_their_overlap(size: tuple[int, int], tile: int, overlap: int, alignment: int) -> None:
    height, width = (-(-side // alignment) * alignment for side in size)
    tiles = plan(height, width, tile_px=tile, overlap_px=overlap, alignment=alignment)
    count = np.zeros((height, width), int)
    allowed = -(-tile // alignment) * alignment
    for t in tiles:
        count[t.keep_top : t.keep_bottom, t.keep_left : t.keep_right] += 1
        assert 0 < t.keep_bottom - t.keep_top <= allowed and 0 < t.keep_right - t.keep_left <= allowed
        for low, high, kept_low, kept_high, side in (
            (t.source_top, t.source_bottom, t.keep_top, t.keep_bottom, height),
            (t.source_left, t.source_right, t.keep_left, t.keep_right, width),
        ):
            assert low % alignment == high % alignment == 0
            assert 0 <= low <= max(0, kept_low - overlap) and min(side, kept_high + overlap) <= high <= side
    assert (count == 1).all()


def test_one_tile_where_the_picture_fits() -> None:
    (tile,) = plan(50, 60, tile_px=60, overlap_px=9)
    assert (tile.source_top, tile.source_bottom, tile.source_left, tile.source_right) == (0, 50, 0, 60)


def test_sides_are_divided_evenly() -> None:
    tiles = plan(10, 130, tile_px=64, overlap_px=0)
    assert [t.keep_right - t.keep_left for t in tiles] == [43, 43, 44]


@pytest.mark.parametrize("bad", [{"tile_px": 0}, {"overlap_px": -1}, {"alignment": 3}, {"height": 0}])
def test_what_is_no_size_is_refused(bad: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="px"):
        plan(**({"height": 8, "width": 8, "tile_px": 4, "overlap_px": 1, "alignment": 1} | bad))
