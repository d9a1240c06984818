"""Noise of known strength is measured; texture and clipping do not pass for it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inspection.made import Array, noisy, texture
from upres.inspection.noise import pixel_noise
from upres.inspection.sampling import spread_blocks


def blocks_of(levels: Array) -> Array:
    return spread_blocks(levels if levels.ndim == 3 else levels[:, :, None], (0, 0))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0, 20.0])
def test_the_noise_of_a_smooth_picture(sigma: float) -> None:
    found = pixel_noise(blocks_of(np.rint(noisy((sigma,)))))
    assert found is not None
    assert found == pytest.approx((sigma, sigma), rel=0.1)


def test_each_channel_has_its_own() -> None:
    found = pixel_noise(blocks_of(np.rint(noisy((2.0, 5.0, 12.0)))))
    assert found is not None
    luma = float(np.sqrt((0.299 * 2) ** 2 + (0.587 * 5) ** 2 + (0.114 * 12) ** 2))
    assert found == pytest.approx((2.0, 5.0, 12.0, luma), rel=0.1)


def test_rounding_is_no_noise_and_deeper_files_have_less_of_it() -> None:
    smooth = noisy((0.0,))
    found = pixel_noise(blocks_of(np.rint(smooth)))
    assert found is not None and found[0] < 0.2
    exact = pixel_noise(blocks_of(smooth), depth=16)
    assert exact is not None and exact[0] < 0.02


def test_texture_is_not_noise() -> None:
    found = pixel_noise(blocks_of(np.rint(texture() + noisy((4.0,))[..., 0] - noisy((0.0,))[..., 0])))
    assert found is not None
    assert found[0] == pytest.approx(np.hypot(4.0, 1.0), rel=0.12)  # the texture has noise of 1 of its own


def test_clipped_pictures_tell_nothing() -> None:
    assert pixel_noise(blocks_of(np.zeros((320, 320), np.float32))) is None
    assert pixel_noise(blocks_of(np.full((320, 320), 255.0, np.float32))) is None
    assert pixel_noise(np.zeros((0, 8, 8, 3), np.float32)) is None
