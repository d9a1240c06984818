"""Structure, detail and color: against another implementation, closed forms, and numbers for gradients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import UsageError  # noqa: E402
from upres.metrics.ms_ssim import ms_ssim  # noqa: E402
from upres.training.losses.structure import color, ms_ssim_loss, wavelet  # noqa: E402


def pictures(side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    hr = (
        0.5
        + 0.3 * np.sin(9 * x + 5 * y)[..., None] * np.array([1.0, 0.5, -0.7])
        + 0.05 * rng.normal(size=(side, side, 3))
    )
    hr = np.rint(hr.clip(0, 1) * 255).astype(np.uint8)
    return np.rint((hr + rng.normal(0, 12, hr.shape)).clip(0, 255)).astype(np.uint8), hr


def tensor(levels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(levels).permute(2, 0, 1)[None].double() / 255


def test_with_five_scales_it_is_the_metric() -> None:
    """The metric is numpy's; it was tested against torchmetrics."""
    sr, hr = pictures(192)
    assert ms_ssim_loss(tensor(sr), tensor(hr)).item() == pytest.approx(
        1 - ms_ssim(sr, hr, border=0, luma=False), abs=1e-9
    )
    assert ms_ssim_loss(tensor(hr), tensor(hr)).item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("side", "scales"), [(96, 4), (48, 3), (11, 1)])
def test_a_smaller_patch_has_the_scales_that_fit(side: int, scales: int) -> None:
    from skimage.metrics import structural_similarity

    flat = torch.full((1, 1, side, side), 0.25, dtype=torch.float64)
    other = flat + 0.5
    closed = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)  # luminance alone, at the coarsest scale
    weights = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)[:scales]
    assert ms_ssim_loss(flat, other).item() == pytest.approx(
        1 - closed ** (1.0001 * weights[-1] / sum(weights)), rel=1e-9
    )
    if scales == 1:
        sr, hr = pictures(side)
        found = structural_similarity(
            sr / 255, hr / 255, channel_axis=2, data_range=1.0, gaussian_weights=True, sigma=1.5, truncate=3.5,
            use_sample_covariance=False,
        )  # fmt: skip
        assert ms_ssim_loss(tensor(sr), tensor(hr)).item() == pytest.approx(1 - found**1.0001, abs=1e-6)


def test_gradients_are_finite_and_right() -> None:
    sr, hr = (tensor(levels)[:, :1].contiguous().requires_grad_(i == 0) for i, levels in enumerate(pictures(12)))
    assert torch.autograd.gradcheck(lambda x: ms_ssim_loss(x, hr), sr, atol=1e-6)
    opposite = (1 - hr).detach().requires_grad_()
    ms_ssim_loss(opposite, hr).backward()
    assert torch.isfinite(opposite.grad).all()


def test_the_details_of_a_stripe_are_its_differences() -> None:
    """Columns, one pixel wide, of height a: only the band along rows sees them, at the finest level alone."""
    a = 0.25
    stripes = torch.zeros(1, 1, 16, 16)
    stripes[..., ::2] = a
    assert wavelet(stripes, torch.zeros_like(stripes)).item() == pytest.approx((a / 2) / 6)
    flat = torch.full((1, 1, 16, 16), 0.5)
    assert wavelet(flat, torch.zeros_like(flat)).item() == 0.0
    wide = torch.zeros(1, 1, 16, 16)  # two pixels wide: half of the neighbors differ; at level 2, with a gap, all
    wide[..., 0::4] = wide[..., 1::4] = a
    first = torch.tensor([(0.5 * (wide[0, 0, 0, i] - wide[0, 0, 0, i + 1])).abs() for i in range(15)]).mean()
    low = [0.5 * (wide[0, 0, 0, i] + wide[0, 0, 0, i + 1]) for i in range(15)]
    second = torch.tensor([(0.5 * (low[i] - low[i + 2])).abs() for i in range(13)]).mean()
    assert wavelet(wide, torch.zeros_like(wide)).item() == pytest.approx(((first + second) / 6).item())


def test_color_sees_a_shift_and_no_texture() -> None:
    hr = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert color(hr + 0.125, hr, 2).item() == pytest.approx(0.125)
    checkers = torch.ones(32, 32, dtype=torch.float64)
    checkers[::2, ::2] = checkers[1::2, 1::2] = -1.0
    assert color(hr + 0.1 * checkers, hr, 2).item() == pytest.approx(0.0, abs=1e-12)


def test_patches_that_are_too_small_are_refused() -> None:
    small = torch.zeros(1, 3, 3, 3)
    for loss, words in (
        (lambda: ms_ssim_loss(small, small), "`structure_weight` needs patches of at least 11"),
        (lambda: wavelet(small, small), "`wavelet_weight` needs patches of at least 4"),
        (lambda: color(small, small, 2), "`color_weight` needs patches of at least 8"),
    ):
        with pytest.raises(UsageError, match=words):
            loss()
