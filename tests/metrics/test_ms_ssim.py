"""MS-SSIM against a literal second implementation, torchmetrics and its own limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from upres.errors import InputError
from upres.images.resize import imresize
from upres.metrics.ms_ssim import ms_ssim


def pair(seed: int, height: int = 200, width: int = 211, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """A made picture and a blurred, noisy version of it."""
    rng = np.random.default_rng(seed)
    hr = np.clip(
        imresize(rng.random((25, 27, channels)), size=(height, width)) + rng.normal(0, 0.05, (height, width, channels)),
        0,
        1,
    )
    sr = np.clip(gaussian_filter(hr, (0.5 + 0.2 * seed, 0.5 + 0.2 * seed, 0)) + rng.normal(0, 0.02, hr.shape), 0, 1)
    return np.round(sr * 255).astype(np.uint8), np.round(hr * 255).astype(np.uint8)


def literal(x: np.ndarray, y: np.ndarray) -> float:
    """Equation 7 of Wang 2003 with scipy's filters, one channel in 0..255."""
    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):

        def blur(image: np.ndarray) -> np.ndarray:
            return gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]

        mx, my = blur(x), blur(y)
        vx, vy, cxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        cs = (2 * cxy + 58.5225) / (vx + vy + 58.5225)
        luminance = (2 * mx * my + 6.5025) / (mx**2 + my**2 + 6.5025)
        product *= np.mean(cs * luminance if scale == 4 else cs) ** weight
        x, y = ((i[: len(i) // 2 * 2, : i.shape[1] // 2 * 2]) for i in (x, y))
        x, y = ((i[::2, ::2] + i[1::2, ::2] + i[::2, 1::2] + i[1::2, 1::2]) / 4 for i in (x, y))
    return float(product)


def test_against_a_literal_implementation() -> None:
    for seed in range(3):
        sr, hr = pair(seed)
        expected = np.mean([literal(sr[..., c].astype(float), hr[..., c].astype(float)) for c in range(3)])
        assert ms_ssim(sr, hr, border=0, luma=False) == pytest.approx(expected, abs=1e-9)


@pytest.mark.extras
def test_ten_pictures_against_torchmetrics() -> None:
    """SSIM too: both by another program, in float64."""
    torchmetrics = pytest.importorskip("torchmetrics.functional.image")
    import torch

    from upres.metrics.psnr_ssim import ssim

    for seed in range(10):
        sr, hr = pair(seed)
        first, second = (torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float64)) for image in (sr, hr))
        theirs = torchmetrics.multiscale_structural_similarity_index_measure(first, second, data_range=255.0)
        assert ms_ssim(sr, hr, border=0, luma=False) == pytest.approx(float(theirs), abs=1e-4)
        _, whole = torchmetrics.structural_similarity_index_measure(
            first, second, data_range=255.0, return_full_image=True
        )  # of the reflected border too, which the authors leave out
        assert ssim(sr, hr, border=0, luma=False) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-4)


def test_equal_pictures_have_one_and_worse_ones_less() -> None:
    values = [ms_ssim(*pair(seed), border=4, luma=True) for seed in (0, 3, 8)]
    assert values == sorted(values, reverse=True) and values[0] < 1.0
    _, hr = pair(0)
    assert ms_ssim(hr, hr, border=4, luma=True) == 1.0
    assert ms_ssim(255 - hr, hr, border=0, luma=True) == 0.0  # a negative structure has no real power


def test_small_pictures_are_refused() -> None:
    sr, hr = pair(0, 183, 200)
    assert 0.0 < ms_ssim(sr, hr, border=3, luma=True) < 1.0
    with pytest.raises(InputError, match=r"MS-SSIM needs 176x176 pixels inside the border, got 175x192"):
        ms_ssim(sr, hr, border=4, luma=True)
