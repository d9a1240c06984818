"""The map of what LR does not vouch for: zero for what an LR can hold, the energy above its band elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.comparison.made import random_levels
from upres.errors import UsageError
from upres.images.resize import imresize
from upres.upscaling.invented import draw_map, invented_255, measured_range, measured_words


def test_what_the_lr_can_hold_is_vouched_for() -> None:
    rng = np.random.default_rng(3)
    smooth = gaussian_filter(rng.uniform(0, 255, (96, 128)), 16, mode="nearest")
    smooth = np.rint(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)[:, :, None]

    assert invented_255(smooth, (24, 32)).mean() < 1.0  # rounding to whole levels, and what 16 px leave above the band
    assert invented_255(np.full((64, 64, 3), 77, np.uint8), (16, 16)).max() < 1e-9


def test_a_pattern_above_the_band_of_lr_is_found_where_it_stands() -> None:
    """A wave of 2 pixels cannot be held at a quarter of the size: its amplitude is what the map shows."""
    sr = np.full((64, 64, 3), 128.0)
    sr[:, 32:] += 20.0 * (-1.0) ** np.arange(64)[:, None, None]
    found = invented_255(sr.astype(np.uint8), (16, 16))

    np.testing.assert_allclose(found[8:-8, 40:-8], 20.0, atol=0.6)
    assert found[:, :16].max() < 1e-9


def test_it_is_what_vanishes_when_sr_is_reduced_again() -> None:
    """Against scikit-image's luma and the resize under test of its own."""
    color = pytest.importorskip("skimage.color")
    sr = random_levels(40, 52)
    luma = color.rgb2yuv(sr)[:, :, 0] * 255.0
    again = imresize(imresize(luma[:, :, None], size=(10, 13)), size=(40, 52))[:, :, 0]

    np.testing.assert_allclose(invented_255(sr, (10, 13)), np.abs(luma - again), atol=0.02)


def test_the_drawn_map_is_dark_where_nothing_was_added_and_bright_where_much_was() -> None:
    sr = np.full((64, 64, 3), 128, np.uint8)
    sr[::2, 32:] = 0
    sr[1::2, 32:] = 255
    drawn = draw_map(sr, (16, 16))

    assert drawn.shape == sr.shape and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:, :8], 45)  # 0.35 of 128, gray
    assert (drawn[8:-8, 48:-8] == (255, 250, 190)).all()


@pytest.mark.parametrize("size", [(5, 7), (7, 5), (1, 1)])
def test_any_size_of_lr(size: tuple[int, int]) -> None:
    sr = random_levels(7, 7)[:, :, :1]
    assert draw_map(sr, size).shape == (7, 7, 3)


@pytest.mark.parametrize("size", [(8, 7), (7, 0)])
def test_an_lr_larger_than_sr_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"LR of \dx\d is larger than SR, 7x7, or empty"):
        invented_255(random_levels(7, 7), size)


def test_how_far_a_map_goes_is_said_of_measured_models_only() -> None:
    known = measured_words("photo-x4")
    assert known.startswith("it says where to doubt; its rank correlation with the true error is 0.")
    assert measured_range("photo-x4").startswith("{} 0.")
    assert measured_words("mine").endswith("was not measured for mine")
    assert measured_range("mine") == "{} not measured"
