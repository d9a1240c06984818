"""The noise before compression is told from rounded coefficients; texture, wide steps and clipping do not mislead."""

from __future__ import annotations

import numpy as np
import pytest

from tests.inspection.made import Array, decoded, jpeg, noisy, texture
from upres.images.jpeg_tables import standard_table
from upres.inspection.jpeg_noise import jpeg_noise
from upres.inspection.sampling import spread_blocks


def told(levels: Array, quality: int) -> float | None:
    """Of the picture after compression with this quality."""
    blocks = spread_blocks(decoded(jpeg(np.clip(levels, 0.0, 255.0), quality))[:, :, None], (0, 0))
    return jpeg_noise(blocks, standard_table(quality))


@pytest.mark.parametrize(
    ("sigma", "quality"), [(4.0, 80), (8.0, 80), (3.0, 90), (12.0, 85), (2.0, 95), (20.0, 98), (2.0, 85)]
)
def test_noise_before_compression(sigma: float, quality: int) -> None:
    assert told(noisy((sigma,))[..., 0], quality) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize(("sigma", "quality"), [(4.0, 85), (8.0, 92)])
def test_texture_that_falls_with_the_frequency_is_not_noise(sigma: float, quality: int) -> None:
    detail = texture() + noisy((sigma,))[..., 0] - noisy((0.0,))[..., 0]
    assert told(detail, quality) == pytest.approx(np.hypot(sigma, 1.0), rel=0.12)  # it has noise of 1 of its own


def test_no_noise_is_told_behind_fine_steps() -> None:
    found = told(noisy((0.0,))[..., 0], 98)
    assert found is not None and found < 0.4


def test_noise_below_the_steps_is_not_told() -> None:
    assert told(noisy((1.0,))[..., 0], 60) is None


def test_clipped_noise_is_told_from_what_is_free_of_it() -> None:
    levels = noisy((6.0,))[..., 0]
    levels[:, : levels.shape[1] // 2] += 255.0  # paper
    assert told(levels, 90) == pytest.approx(6.0, rel=0.12)
    assert told(noisy((6.0,))[..., 0] + 255.0, 90) is None
    assert jpeg_noise(np.zeros((0, 8, 8, 3), np.float32), standard_table(80)) is None
