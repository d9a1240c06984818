"""Properties that every tile plan must have, over many sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from upres.engines.tiles import Tile, plan, plan_windows, run_tiles
from upres.errors import UsageError

SIDES = [(1, 1), (1, 7), (37, 5), (64, 64), (100, 101), (333, 20)]
CASES = [
    (h * a, w * a, tile, overlap, a)
    for (h, w), tile, overlap, a in itertools.product(SIDES, (4, 7, 32, 1000), (0, 3, 18), (1, 2, 4))
]


@pytest.mark.parametrize(("height", "width", "tile", "overlap", "alignment"), CASES)
def test_kept_parts_cover_the_picture_once_and_sources_reach_far(
    height: int, width: int, tile: int, overlap: int, alignment: int
) -> None:
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
            # and no farther than needed
            assert keep_low - low < overlap + alignment and high - keep_high < overlap + alignment
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
        (
            {"height": 6, "width": 5, "tile_px": 8, "overlap_px": 1, "alignment": 2},
            "6 x 5 pixels are not multiples of .* alignment 2",
        ),
        (
            {"height": 8, "width": 8, "tile_px": 3, "overlap_px": 1, "alignment": 4},
            "`tile_px` must be at least 4, the alignment",
        ),
    ],
)
def test_refusals(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**arguments)


@pytest.mark.parametrize(
    ("height", "width", "size", "overlap"), [(37, 90, (20, 24), 5), (20, 20, (20, 20), 7), (21, 100, (20, 9), 4)]
)
def test_windows_have_one_size_and_keep_what_reads_far_enough(
    height: int, width: int, size: tuple[int, int], overlap: int
) -> None:
    seen = np.zeros((height, width), int)
    for t in plan_windows(height, width, size=size, overlap_px=overlap):
        seen[t.keep_top : t.keep_bottom, t.keep_left : t.keep_right] += 1
        assert t.source_shape == size
        for low, high, keep_low, keep_high, length in (
            (t.source_top, t.source_bottom, t.keep_top, t.keep_bottom, height),
            (t.source_left, t.source_right, t.keep_left, t.keep_right, width),
        ):
            assert 0 <= low <= keep_low < keep_high <= high <= length
            assert low == 0 or low <= keep_low - overlap
            assert high == length or high >= keep_high + overlap
    assert (seen == 1).all()


def test_tiles_of_enlarged_pixels_are_the_enlarged_picture() -> None:
    lr = np.random.default_rng(1).random((1, 2, 13, 30), np.float32)
    whole = lr.repeat(3, axis=2).repeat(3, axis=3)
    for tiles in (plan(13, 30, tile_px=5, overlap_px=2), plan_windows(13, 30, size=(8, 9), overlap_px=2)):
        result = run_tiles(lambda part: part.repeat(3, axis=2).repeat(3, axis=3), lr, tiles, scale=3, channels=2)
        np.testing.assert_array_equal(result, whole)


def test_paste_leaves_margin_and_padding_out_and_scales_and_adds() -> None:
    picture = np.random.default_rng(2).random((7, 10, 3), np.float32)
    framed = np.pad(picture, ((4, 5), (4, 6), (0, 0)), mode="wrap").transpose(2, 0, 1)
    result = np.full((14, 20, 3), np.nan, np.float32)
    planes = result.transpose(2, 0, 1)
    for add in (False, True):
        for tile in plan(16, 20, tile_px=4, overlap_px=3, alignment=2):
            if tile.keeps(7, 10, 4):
                sr = tile.cut(framed).repeat(2, axis=1).repeat(2, axis=2)
                tile.paste(sr, planes, 2, margin_px=4, share=0.5, add=add)
    np.testing.assert_array_equal(result, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert not Tile(0, 8, 0, 8, 0, 4, 0, 4).keeps(7, 10, 4)  # margin alone
