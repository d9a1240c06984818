"""Blur kernels of degradations: float64 arrays `size, size` that sum to 1, centered, `size` odd.

Sources: X. Wang et al., "Real-ESRGAN", ICCVW 2021, section 3.2 and appendix (generalized and plateau Gaussians after
Y.-Q. Liu et al., "Estimating generalized Gaussian blur kernels for out-of-focus image deblurring", IEEE TCSVT 2020),
and for the ideal low-pass its section 3.4. S is the covariance matrix with standard deviations sigma_x and sigma_y
along axes rotated by theta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upres.errors import UsageError

Array = NDArray[np.float64]
KINDS: Final = {
    "isotropic": ("size", "sigma_x", "sigma_y", "theta", "beta"),
    "anisotropic": ("size", "sigma_x", "sigma_y", "theta", "beta"),
    "generalised": ("size", "sigma_x", "sigma_y", "theta", "beta"),
    "plateau": ("size", "sigma_x", "sigma_y", "theta", "beta"),
    "sinc": ("size", "cutoff"),
}
SMALLEST_SIGMA: Final = 0.05  # narrower Gaussians are a single pixel, to within 1e-80


def isotropic(size: int, sigma: float) -> Array:
    """exp(-r^2 / (2 sigma^2)), normalized; `sigma` in pixels."""
    return anisotropic(size, sigma, sigma, 0.0)


def anisotropic(size: int, sigma_x: float, sigma_y: float, theta: float) -> Array:
    """exp(-1/2 x^T S^-1 x), normalized; `theta` in radians, from the x axis (to the right) towards the y axis
    (downwards).
    """
    return _normalized(np.exp(-0.5 * _mahalanobis(size, sigma_x, sigma_y, theta)))


def generalized(size: int, sigma_x: float, sigma_y: float, theta: float, beta: float) -> Array:
    """exp(-1/2 (x^T S^-1 x)^beta), normalized: beta 1 is the Gaussian, below it is more peaked, above it flatter."""
    return _normalized(np.exp(-0.5 * _mahalanobis(size, sigma_x, sigma_y, theta) ** beta))


def plateau(size: int, sigma_x: float, sigma_y: float, theta: float, beta: float) -> Array:
    """1 / (1 + (x^T S^-1 x)^beta), normalized: a flat top with steep sides for a large beta."""
    return _normalized(1.0 / (1.0 + _mahalanobis(size, sigma_x, sigma_y, theta) ** beta))


def sinc(size: int, cutoff: float) -> Array:
    """The ideal circular low-pass of `cutoff` radians per pixel, cut to `size`, normalized; rings like over-sharpened
    pictures.

    k(r) = cutoff J1(cutoff r) / (2 pi r), and cutoff^2 / (4 pi) at the center.
    """
    squares, where = np.unique(_squares(size), return_inverse=True)  # many pixels share a radius
    radius = np.sqrt(squares[1:])
    values = np.concatenate([[cutoff**2 / (4.0 * np.pi)], cutoff * bessel_j1(cutoff * radius) / (2.0 * np.pi * radius)])
    return _normalized(values[where.reshape(size, size)])


def delta(size: int) -> Array:
    """The identity: a single pixel."""
    return np.asarray(_squares(size) == 0.0, np.float64)


def make_kernel(parameters: Mapping[str, Any]) -> Array:
    """The kernel of a plan: `kind` and, for Gaussians, `size, sigma_x, sigma_y, theta, beta`, for a sinc `size,
    cutoff`.

    Raises `UsageError` for an unknown kind or an even size.
    """
    kind, size = parameters["kind"], int(parameters["size"])
    if kind not in KINDS:
        raise UsageError(f"unknown kernel {kind!r}: expected one of {', '.join(KINDS)}")
    if size < 1 or size % 2 == 0:
        raise UsageError(f"the size of a kernel must be odd and at least 1, got {size}")
    if kind == "sinc":
        return sinc(size, parameters["cutoff"])
    sigmas = parameters["sigma_x"], parameters["sigma_y"], parameters["theta"]
    if kind in ("isotropic", "anisotropic"):
        return anisotropic(size, *sigmas)
    return (generalized if kind == "generalised" else plateau)(size, *sigmas, parameters["beta"])


def bessel_j1(x: Array) -> Array:
    """J1(x) = 1/pi int_0^pi cos(t - x sin t) dt: the trapezoid rule over a period is exact to rounding once it has more
    points than |x|.
    """
    count = 64 + 2 * int(np.ceil(np.abs(x).max(initial=0.0)))
    t = 2.0 * np.pi * np.arange(count) / count
    return np.cos(t - np.multiply.outer(x, np.sin(t))).mean(axis=-1)


def _squares(size: int) -> Array:
    side = np.arange(size) - size // 2
    return (side[:, None] ** 2 + side[None, :] ** 2).astype(np.float64)


def _mahalanobis(size: int, sigma_x: float, sigma_y: float, theta: float) -> Array:
    """x^T S^-1 x at every pixel."""
    sigma_x, sigma_y = max(sigma_x, SMALLEST_SIGMA), max(sigma_y, SMALLEST_SIGMA)
    side = np.arange(size) - size // 2
    along = np.cos(theta) * side[None, :] + np.sin(theta) * side[:, None]
    across = -np.sin(theta) * side[None, :] + np.cos(theta) * side[:, None]
    return np.asarray((along / sigma_x) ** 2 + (across / sigma_y) ** 2, np.float64)


def _normalized(values: Array) -> Array:
    return values / values.sum()
