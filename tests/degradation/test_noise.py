"""Noise against the closed forms of its moments."""

import numpy as np
import pytest

from upres.degradation.noise import add_correlated, add_gaussian, add_poisson


def flat(level: float, channels: int = 3, side: int = 256) -> np.ndarray:
    return np.full((side, side, channels), level, np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise_has_its_deviation(gray: bool) -> None:
    noise = add_gaussian(flat(0.5), 20.0, gray, rng()) - 0.5
    assert noise.std() * 255 == pytest.approx(20.0, rel=0.01) and abs(noise.mean()) * 255 < 0.2
    correlation = np.corrcoef(noise.reshape(-1, 3).T)[0, 1]
    assert correlation == pytest.approx(1.0 if gray else 0.0, abs=0.01)
    assert add_gaussian(flat(0.5, 1), 20.0, gray, rng()).shape == (256, 256, 1)


def test_correlated_noise_has_its_covariance() -> None:
    covariance = np.array([[90.0, 40.0, 10.0], [40.0, 60.0, -20.0], [10.0, -20.0, 30.0]])
    noise = 255 * (add_correlated(flat(0.5), covariance.tolist(), rng()) - 0.5)
    np.testing.assert_allclose(np.cov(noise.reshape(-1, 3).T), covariance, atol=1.5)
    assert add_correlated(flat(0.5, 1), covariance.tolist(), rng()).shape == (256, 256, 1)


def test_poisson_noise_follows_the_number_of_levels() -> None:
    """Trap 35: v = 2^ceil(log2(levels)); the variance at level x is strength^2 x / v."""
    # 5 levels: v = 8
    image = np.repeat(np.repeat((np.arange(5, dtype=np.float32) * 50 / 255)[None, :, None], 4000, axis=0), 3, axis=2)
    noise = add_poisson(image, 0.5, False, rng()) - image
    for column in range(5):
        assert noise[:, column].var() == pytest.approx(0.25 * image[0, column, 0] / 8, rel=0.06, abs=1e-9)
        assert abs(noise[:, column].mean()) < 0.01
    assert np.abs(np.corrcoef(noise[:, 3].T)[0, 1]) < 0.05


def test_gray_poisson_noise_is_that_of_the_luma() -> None:
    """One noise for all channels, of the luma's variance (weights 0.299, 0.587, 0.114)."""
    image = np.broadcast_to(np.array([1.0, 0.0, 0.0], np.float32), (300, 300, 3)).copy()
    noise = add_poisson(image, 1.0, True, rng()) - image
    assert np.array_equal(noise[..., 0] + 1 - 1, noise[..., 0]) and np.allclose(noise[..., 0], noise[..., 1], atol=1e-6)
    luma = round(0.299 * 255) / 255
    assert noise[..., 1].var() == pytest.approx(luma, rel=0.03)  # one level: v = 1


def test_the_rounding_of_the_picture_is_not_noise() -> None:
    """Noise is worked out on the rounded picture, and added to the picture as it is."""
    image = flat(0.5001)
    found = add_poisson(image, 1e-6, False, rng())
    np.testing.assert_allclose(found, image, atol=1e-5)
