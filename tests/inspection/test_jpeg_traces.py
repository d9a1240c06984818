"""Blocks and multiples that compression leaves: where, of which quality, and silence where nothing was compressed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inspection.made import Array, decoded, jpeg, noisy, texture
from upres.inspection.jpeg_traces import border_contrast, find_traces, step_trace


@pytest.mark.parametrize("quality", [10, 30, 50, 70, 80, 90, 95])
def test_the_quality_of_a_decoded_jpeg_is_found(quality: int) -> None:
    last, earlier = find_traces(decoded(jpeg(texture(), quality)))
    assert last is not None and earlier is None
    assert abs(last.quality - quality) <= 1
    assert last.grid == (0, 0)


@pytest.mark.parametrize("grid", [(3, 5), (0, 7), (6, 0)])
def test_the_grid_of_a_cut_picture_is_found(grid: tuple[int, int]) -> None:
    luma = decoded(jpeg(texture(), 60))[-grid[0] % 8 :, -grid[1] % 8 :]
    last, _ = find_traces(luma)
    assert last is not None
    assert last.grid == grid and abs(last.quality - 60) <= 1


def test_the_border_of_blocks_stands_out() -> None:
    contrast = border_contrast(decoded(jpeg(texture(), 40))[:, 3:])
    assert int(np.argmax(contrast)) == 5 and contrast[5] > 1.2
    assert np.abs(border_contrast(noisy((10.0,))[..., 0]) - 1.0).max() < 0.03


@pytest.mark.parametrize(
    "luma", [texture(), noisy((0.3,))[..., 0], noisy((12.0,))[..., 0], np.zeros((128, 128), np.float32)]
)
def test_what_was_never_compressed_shows_nothing(luma: Array) -> None:
    assert find_traces(np.rint(luma)) == (None, None)


def test_an_earlier_compression_on_another_grid_is_found() -> None:
    first = decoded(jpeg(texture(), 40))[3:, 6:]
    last, earlier = find_traces(decoded(jpeg(first, 92)), (0, 0))
    assert last is not None and abs(last.quality - 92) <= 2
    assert earlier is not None
    assert earlier.grid == (5, 2) and abs(earlier.quality - 40) <= 3


def test_the_coarser_of_two_compressions_on_one_grid_is_what_shows() -> None:
    last, earlier = find_traces(decoded(jpeg(decoded(jpeg(texture(), 40)), 90)))
    assert last is not None and abs(last.quality - 40) <= 2
    assert earlier is None


def test_stripes_are_not_taken_for_an_earlier_compression() -> None:
    stripes = np.repeat(texture()[:1], 320, axis=0)
    last, earlier = find_traces(decoded(jpeg(stripes, 50)))
    assert last is not None and last.grid[1] == 0
    assert earlier is None


def test_small_windows_and_grids_without_blocks_show_nothing() -> None:
    assert find_traces(np.zeros((63, 400), np.float32)) == (None, None)
    assert step_trace(np.zeros((64, 64), np.float32), (7, 7)) is None
