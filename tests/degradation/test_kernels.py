"""Kernels against scipy, closed forms and moments."""

import numpy as np
import pytest
from scipy import special, stats

from upres.degradation import kernels
from upres.errors import UsageError

SIZES = (7, 13, 21)


def grid(size: int) -> np.ndarray:
    side = np.arange(size) - size // 2
    return np.stack(np.meshgrid(side, side), axis=-1)  # (x to the right, y downwards) at every pixel


def rotation(theta: float) -> np.ndarray:
    return np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])


def test_bessel_function() -> None:
    x = np.linspace(0.0, 120.0, 1500)
    np.testing.assert_allclose(kernels.bessel_j1(x), special.j1(x), atol=1e-13)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("sigma_x", "sigma_y", "theta"), [(1.0, 1.0, 0.0), (0.6, 2.9, 0.7), (2.0, 0.5, -2.5)])
def test_gaussians_are_the_normal_density(size: int, sigma_x: float, sigma_y: float, theta: float) -> None:
    covariance = rotation(theta) @ np.diag([sigma_x**2, sigma_y**2]) @ rotation(theta).T
    density = stats.multivariate_normal(np.zeros(2), covariance).pdf(grid(size))
    found = kernels.anisotropic(size, sigma_x, sigma_y, theta)
    np.testing.assert_allclose(found, density / density.sum(), atol=1e-12)
    if sigma_x == sigma_y:
        np.testing.assert_allclose(kernels.isotropic(size, sigma_x), found, atol=1e-15)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.5])
def test_generalised_and_plateau_follow_their_formulas(beta: float) -> None:
    x = grid(21)
    covariance = rotation(0.4) @ np.diag([1.5**2, 2.5**2]) @ rotation(0.4).T
    distance = np.einsum("hwi,ij,hwj->hw", x, np.linalg.inv(covariance), x)
    for found, expected in (
        (kernels.generalized(21, 1.5, 2.5, 0.4, beta), np.exp(-0.5 * distance**beta)),
        (kernels.plateau(21, 1.5, 2.5, 0.4, beta), 1.0 / (1.0 + distance**beta)),
    ):
        np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-12)


@pytest.mark.parametrize("cutoff", [np.pi / 3, 2.0, np.pi])
def test_sinc_is_the_circular_low_pass(cutoff: float) -> None:
    """Its values are scipy's; its spectrum is flat below the cut-off and next to nothing above."""
    radius = np.sqrt((grid(21) ** 2).sum(axis=-1)).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = cutoff * special.j1(cutoff * radius) / (2.0 * np.pi * radius)
    expected[10, 10] = cutoff**2 / (4.0 * np.pi)
    np.testing.assert_allclose(kernels.sinc(21, cutoff), expected / expected.sum(), atol=1e-12)
    large = np.abs(np.fft.fft2(kernels.sinc(201, 1.5)))
    frequency = 2.0 * np.pi * np.fft.fftfreq(201)
    radial = np.hypot(frequency[:, None], frequency[None, :])
    assert abs(large[radial < 1.2].mean() - 1.0) < 0.02 and large[radial > 1.8].mean() < 0.02


@pytest.mark.parametrize("size", SIZES)
def test_all_are_normalized_and_symmetric(size: int) -> None:
    for kernel in (
        kernels.isotropic(size, 0.2), kernels.anisotropic(size, 0.2, 3.0, 1.0),
        kernels.generalized(size, 3.0, 0.3, 0.5, 4.0), kernels.plateau(size, 1.0, 1.0, 0.0, 2.0),
        kernels.sinc(size, 1.1),
    ):  # fmt: skip
        assert kernel.shape == (size, size) and kernel.sum() == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-14)


def test_a_sigma_of_nothing_is_a_single_pixel() -> None:
    expected = np.zeros((7, 7))
    expected[3, 3] = 1.0
    for sigma in (0.0, 1e-9, 0.04):
        np.testing.assert_allclose(kernels.isotropic(7, sigma), expected, atol=1e-12)


def test_delta_changes_nothing() -> None:
    assert np.array_equal(kernels.delta(5), np.pad([[1.0]], 2))


def test_moments() -> None:
    """The covariance of a sampled Gaussian that fits its window is its matrix: x to the right, y downwards, theta from
    x to y.
    """
    kernel, x = kernels.anisotropic(41, 3.0, 1.5, 0.6), grid(41).astype(float)
    found = np.einsum("hw,hwi,hwj->ij", kernel, x, x)
    np.testing.assert_allclose(found, rotation(0.6) @ np.diag([3.0**2, 1.5**2]) @ rotation(0.6).T, rtol=1e-4)


def test_kernels_of_plans() -> None:
    gaussian = {"size": 9, "sigma_x": 1.0, "sigma_y": 2.0, "theta": 0.3, "beta": 1.5}
    for kind, expected in (
        ("anisotropic", kernels.anisotropic(9, 1.0, 2.0, 0.3)),
        ("generalised", kernels.generalized(9, 1.0, 2.0, 0.3, 1.5)),
        ("plateau", kernels.plateau(9, 1.0, 2.0, 0.3, 1.5)),
    ):
        assert np.array_equal(kernels.make_kernel({"kind": kind, **gaussian}), expected)
    assert np.array_equal(kernels.make_kernel({"kind": "sinc", "size": 9, "cutoff": 2.0}), kernels.sinc(9, 2.0))
    with pytest.raises(UsageError, match="unknown kernel 'box'"):
        kernels.make_kernel({"kind": "box", "size": 9})
    with pytest.raises(UsageError, match="must be odd and at least 1, got 8"):
        kernels.make_kernel({"kind": "sinc", "size": 8, "cutoff": 2.0})
