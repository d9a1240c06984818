"""Properties that every tile plan must have, over many sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from upres.errors import UsageError
from upres.engines.tiles import Tile, plan

SIDES = [(1, 1), (1, 7), (37, 5), (64, 64), (100, 101), (333, 20)]
CASES = [(h * a, w * a, tile, overlap, a) for (h, w), tile, overlap, a in itertools.product(SIDES, (4, 7, 32, 1000), (0, 3, 18), (1, 2, 4))]


@pytest.mark.parametrize(("height", "width", "tile", "overlap", "alignment"), CASES)
def test_kept_parts_cover_the_picture_once_and_sources_reach_far(height: int, width: int, tile: int, overlap: int, alignment: int) -> None:
    seen = np.zeros((height, width), int)
    for t in plan(height, width, tile_px=tile, overlap_px=overlap, alignment=alignment):
        seen[t.keep_top : t.keep_bottom, t.keep_left : t.keep_right] += 1
        for low, high, keep_low, keep_high, length in (
            (t.source_top, t.source_bottom, t.keep_top, t.keep_bottom, height),
            (t.source_left, t.source_right, t.keep_left, t.keep_right, width),
        ):
            assert 0 <= low <= keep_low < keep_high <= high <= length
            assert low == 0 or low <= keep_low - overlap
            assert high == length or high >= keep_high + overlap
            assert keep_low - low < overlap + alignment and high - keep_high < overlap + alignment  # and no farther than needed
            assert not any(edge % alignment for edge in (low, high, keep_low, keep_high))
            assert keep_high - keep_low <= tile
    assert (seen == 1).all()


@pytest.mark.parametrize(("length", "tile"), [(100, 99), (101, 50), (1000, 96), (97, 32)])
def test_no_thin_last_strip(length: int, tile: int) -> None:
    sides = [t.keep_bottom - t.keep_top for t in plan(length, 1, tile_px=tile, overlap_px=5)]
    assert max(sides) - min(sides) <= 1
    assert len(sides) == -(-length // tile)


def test_one_tile_is_the_whole_picture() -> None:
    assert plan(20, 30, tile_px=30, overlap_px=9) == [Tile(0, 20, 0, 30, 0, 20, 0, 30)]
    assert plan(20, 30, tile_px=30, overlap_px=9)[0].source_shape == (20, 30)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"height": 0, "width": 5, "tile_px": 8, "overlap_px": 1}, "cannot tile 0 x 5"),
        ({"height": 5, "width": 5, "tile_px": 8, "overlap_px": -1}, "overlap -1"),
        ({"height": 6, "width": 5, "tile_px": 8, "overlap_px": 1, "alignment": 2}, "6 x 5 pixels are not multiples of .* alignment 2"),
        ({"height": 8, "width": 8, "tile_px": 3, "overlap_px": 1, "alignment": 4}, "a tile of 3 pixels is too small: expected 4 or more"),
    ],
)
def test_refusals(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**arguments)
