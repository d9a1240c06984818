"""Noise: Gaussian, correlated between channels, Poisson. float32 `h w c` in, float32 out; nothing is clipped.

Sources: Real-ESRGAN (ICCVW 2021, section 3.2) for Gaussian, Poisson and gray noise, BSRGAN (ICCV 2021, section 3.3) for
correlated noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, full range


def add_gaussian(image: Array, sigma_255: float, gray: bool, rng: np.random.Generator) -> Array:
    """White noise of standard deviation `sigma_255` / 255; `gray`: the same in all channels."""
    height, width, channels = image.shape
    noise = rng.standard_normal((height, width, 1 if gray else channels), dtype=np.float32)
    noise *= np.float32(sigma_255 / 255.0)
    return (image + noise).astype(np.float32, copy=False)


def add_correlated(image: Array, covariance_255: Sequence[Sequence[float]], rng: np.random.Generator) -> Array:
    """Gaussian noise with the covariance `covariance_255` / 255^2 (3 x 3) between channels; gray pictures get the mean
    of the three.
    """
    covariance = np.asarray(covariance_255, np.float64) / 255.0**2
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))).T.astype(np.float32)  # root^T root = covariance
    noise = rng.standard_normal((*image.shape[:2], 3), dtype=np.float32) @ root
    own = noise if image.shape[2] == 3 else noise.mean(axis=2, keepdims=True)
    return (image + own).astype(np.float32, copy=False)


def add_poisson(image: Array, strength: float, gray: bool, rng: np.random.Generator) -> Array:
    """Shot noise: Poisson(x v) / v - x, times `strength`, where v = 2^ceil(log2(number of distinct 8-bit levels)).

    `gray`: computed from the luma and added to all channels.
    """
    levels = np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)).astype(np.uint8)
    if gray and image.shape[2] == 3:
        luma = np.clip(image, 0.0, 1.0) @ _LUMA[:, None]
        levels = np.rint(luma * np.float32(255.0)).astype(np.uint8)
    count = int(np.count_nonzero(np.bincount(levels.reshape(-1), minlength=256)))
    peak = 2.0 ** np.ceil(np.log2(count))
    exact = levels.astype(np.float32) / np.float32(255.0)
    drawn = np.asarray(rng.poisson(exact * peak), np.float32) / np.float32(peak)
    return (image + (drawn - exact) * np.float32(strength)).astype(np.float32, copy=False)
