"""Which pixels are looked at, and the transform of their blocks."""

from __future__ import annotations

import numpy as np
import pytest

from upres.inspection.sampling import (
    DCT,
    MOST_BLOCKS,
    WINDOW_PX,
    block_dct,
    busiest_window,
    dense_blocks,
    spread_blocks,
    spread_rows,
    to_luma,
)


def test_the_window_is_where_the_detail_is() -> None:
    pixels = np.zeros((1600, 2000, 3), np.float32)
    pixels[1200:, 1500:] = np.random.default_rng(0).random((400, 500, 1), np.float32)
    rows, columns = busiest_window(pixels)
    assert (rows.start, columns.start) == (1088, 1488)
    assert pixels[rows, columns].shape == (WINDOW_PX, WINDOW_PX, 3)
    assert rows.start % 8 == columns.start % 8 == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 2000, 1), (512, 512, 3), (519, 3, 3)])
def test_small_and_thin_pictures_have_a_window(shape: tuple[int, int, int]) -> None:
    rows, columns = busiest_window(np.zeros(shape, np.float32))
    assert 0 < len(range(*rows.indices(shape[0]))) <= WINDOW_PX
    assert 0 < len(range(*columns.indices(shape[1]))) <= WINDOW_PX


def test_blocks_lie_on_their_grid_and_are_at_most_so_many() -> None:
    rows, columns = np.mgrid[:600, :800].astype(np.float32)
    pixels = np.stack((rows, columns), axis=2)
    blocks = spread_blocks(pixels, (3, 5))
    assert blocks.shape == (MOST_BLOCKS, 8, 8, 2)
    assert np.all(blocks[:, 0, 0] % 8 == (3, 5))
    assert np.all(blocks[..., 0] - blocks[:, :1, :1, 0] == np.arange(8.0)[:, None])
    assert blocks[..., 0].max() > 580 and blocks[..., 1].max() > 780
    few = spread_blocks(pixels[:20, :33], (3, 5))
    assert len(few) == 2 * 3
    assert spread_blocks(pixels[:10, :800], (3, 0)).shape == (0, 8, 8, 2)


def test_rows_are_spread_and_cut() -> None:
    pixels = np.broadcast_to(np.linspace(0, 1, 3000, dtype=np.float32)[None, :, None], (500, 3000, 3))
    rows = spread_rows(pixels)
    assert rows.shape == (64, 2048)
    assert rows[0].mean() == pytest.approx(127.5, abs=0.5)
    assert spread_rows(pixels[:3, :5]).shape == (3, 5)


def test_luma_is_that_of_jpeg() -> None:
    colors = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]], np.float32)
    assert to_luma(colors)[0] == pytest.approx([76.245, 149.685, 29.07, 255.0], abs=1e-3)
    assert to_luma(np.full((2, 2, 1), 0.5, np.float32)).tolist() == [[127.5, 127.5]] * 2


def test_the_transform_is_orthonormal_and_that_of_the_standard() -> None:
    assert np.allclose(DCT @ DCT.T, np.eye(8), atol=1e-6)
    blocks = np.random.default_rng(0).random((5, 8, 8)).astype(np.float32)
    x = np.arange(8)
    for u, v in ((0, 0), (0, 3), (2, 5), (7, 7)):  # T.81, A.3.3, literally
        scale = 0.25 * (1 / np.sqrt(2) if u == 0 else 1) * (1 / np.sqrt(2) if v == 0 else 1)
        cosines = np.cos((2 * x + 1) * u * np.pi / 16)[:, None] * np.cos((2 * x + 1) * v * np.pi / 16)
        assert block_dct(blocks)[:, u, v] == pytest.approx(scale * (blocks * cosines).sum(axis=(1, 2)), abs=1e-5)


@pytest.mark.parametrize(
    ("side", "count", "step_px"), [(512, 2048, 8), (256, 2048, 4), (128, 2048, 2), (40, 17 * 17, 2), (7, 0, 2)]
)
def test_blocks_of_small_pictures_overlap(side: int, count: int, step_px: int) -> None:
    columns = np.broadcast_to(np.arange(side, dtype=np.float32)[:, None], (side, side, 1))
    blocks = dense_blocks(np.ascontiguousarray(columns))
    assert blocks.shape == (count, 8, 8, 1)
    assert not count or np.diff(np.unique(blocks[:, 0, 0, 0])).min() == step_px
