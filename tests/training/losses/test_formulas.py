"""Losses: closed forms on small tensors, torch's own losses and plain loops as oracles, and gradients by finite
differences.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from upres.errors import UsageError  # noqa: E402
from upres.images import resize  # noqa: E402
from upres.training.losses.formulas import (  # noqa: E402
    LOSSES,
    artifact,
    artifact_map,
    charbonnier,
    frequency,
    l1,
    lattice,
    lr_consistency,
    mse,
    perceptual,
)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def column(*values: float) -> Tensor:
    """Logits `b 1`, as a VGG-style discriminator gives them."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_closed_forms() -> None:
    sr, hr = torch.tensor([[[[0.0, 1.0]]]]), torch.tensor([[[[0.5, 0.0]]]])
    assert l1(sr, hr).item() == pytest.approx(0.75)
    assert mse(sr, hr).item() == pytest.approx(0.625)
    assert charbonnier(sr, hr, epsilon=0.0).item() == pytest.approx(0.75)
    assert charbonnier(hr, hr, epsilon=1e-3).item() == pytest.approx(1e-3)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_agree_with_torch_and_have_gradients(name: str) -> None:
    sr, hr = noise(2, 3, 5, 5, seed=1).requires_grad_(True), noise(2, 3, 5, 5, seed=2)
    twins = {"l1": nn.L1Loss(), "mse": nn.MSELoss()}
    if name in twins:
        assert LOSSES[name](sr, hr).item() == pytest.approx(twins[name](sr, hr).item(), rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, hr), (sr,))


# ---- perceptual


def test_perceptual_is_a_weighted_sum_of_l1() -> None:
    sr = {"conv1_2": torch.tensor([[[[1.0, -2.0]]]]), "conv5_4": torch.tensor([[[[4.0]]]])}
    hr = {"conv1_2": torch.tensor([[[[0.0, 1.0]]]]), "conv5_4": torch.tensor([[[[1.0]]]]), "unused": torch.zeros(1)}
    assert perceptual(sr, hr, {"conv1_2": 0.5, "conv5_4": 2.0}).item() == pytest.approx(0.5 * 2.0 + 2.0 * 3.0)
    assert perceptual(sr, hr, {"conv1_2": 0.1}).item() == pytest.approx(0.2)


def test_perceptual_gradient_goes_into_sr_alone() -> None:
    sr, hr = noise(1, 2, 3, 3, seed=1).requires_grad_(True), noise(1, 2, 3, 3, seed=2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: perceptual({"a": x}, {"a": hr.detach()}, {"a": 0.7}), (sr,))
    perceptual({"a": sr}, {"a": hr}, {"a": 1.0}).backward()
    assert sr.grad is not None and hr.grad is None


def test_perceptual_sums_half_precision_in_float32() -> None:
    sr, hr = (
        torch.full((1, 1, 64, 64), 1.0, dtype=torch.bfloat16),
        torch.full((1, 1, 64, 64), 0.99609375, dtype=torch.bfloat16),
    )
    value = perceptual({"a": sr}, {"a": hr}, {"a": 1.0})
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0.00390625, rel=1e-6)


def test_a_layer_that_the_features_lack_is_named() -> None:
    features = {"conv1_2": torch.zeros(1)}
    with pytest.raises(UsageError, match="needs features of conv5_4, got those of conv1_2"):
        perceptual(features, features, {"conv1_2": 1.0, "conv5_4": 1.0})
    with pytest.raises(UsageError, match="needs features of at least one layer"):
        perceptual(features, features, {})


# ---- frequency and LR consistency


def test_frequency_closed_forms() -> None:
    hr = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    # A constant c has one coefficient, c * sqrt(16) at frequency 0, among the 4 x 3 of the half plane with two parts
    # each.
    assert frequency(hr + 0.5, hr).item() == pytest.approx(0.5 * 4 / 24)
    # A single pixel at the origin has 1 / sqrt(16) everywhere in the real part.
    dot = hr.clone()
    dot[..., 0, 0] = 1.0
    assert frequency(dot, hr).item() == pytest.approx(12 * 0.25 / 24)
    assert frequency(dot, dot).item() == 0.0


def test_frequency_equals_numpy_and_finite_differences() -> None:
    sr, hr = noise(2, 3, 6, 5, seed=1).requires_grad_(True), noise(2, 3, 6, 5, seed=2)
    spectrum = np.fft.rfft2(sr.detach().numpy(), norm="ortho") - np.fft.rfft2(hr.numpy(), norm="ortho")
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert frequency(sr, hr).item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda x: frequency(x, hr), (sr,))


def test_frequency_does_not_grow_with_the_patch() -> None:
    small, large = (
        frequency(gaussian(1, 1, n, n), torch.zeros(1, 1, n, n, dtype=torch.float64)).item() for n in (16, 128)
    )
    assert large == pytest.approx(small, rel=0.1)


@pytest.mark.parametrize("scale", [2, 4])
def test_lr_consistency_is_zero_for_a_patch_of_the_picture_itself(scale: int) -> None:
    """The LR of a patch, cut from the whole picture's LR, equals the small patch but for its outer two pixels."""
    whole = np.random.default_rng(0).random((24 * scale, 24 * scale, 3))
    small = resize.imresize(whole, 1.0 / scale)
    hr = torch.from_numpy(whole[6 * scale : 18 * scale, 6 * scale : 18 * scale].transpose(2, 0, 1).copy())[None]
    lr = torch.from_numpy(small[6:18, 6:18].transpose(2, 0, 1).copy())[None]
    assert lr_consistency(hr, lr, scale).item() < 1e-12
    border = torch.from_numpy(
        resize.imresize(whole[6 * scale : 18 * scale, 6 * scale : 18 * scale], 1.0 / scale).transpose(2, 0, 1).copy()
    )
    assert (border - lr[0])[:, 1].abs().max() > 1e-4  # the second row does differ, so the border is needed
    assert lr_consistency(hr + 0.25, lr, scale).item() == pytest.approx(0.25)


def test_lr_consistency_gradient_and_refusals() -> None:
    sr, lr = noise(1, 1, 12, 14, seed=1).requires_grad_(True), noise(1, 1, 6, 7, seed=2)
    assert torch.autograd.gradcheck(lambda x: lr_consistency(x, lr, 2), (sr,))
    with pytest.raises(
        UsageError, match=r"more than 4 px a side and an SR 2 times as large, got 6x7 and 12x12 \(h x w\)"
    ):
        lr_consistency(sr[..., :12], lr, 2)
    with pytest.raises(UsageError, match="more than 4 px a side"):
        lr_consistency(noise(1, 1, 8, 16), noise(1, 1, 4, 8), 2)


# ---- artifacts


def literal_map(sr: np.ndarray, hr: np.ndarray, ema: np.ndarray) -> np.ndarray:
    """LDL's map, pixel by pixel, of one picture `c h w`."""
    residual, steady = np.abs(hr - sr).sum(0), np.abs(hr - ema).sum(0)
    padded = np.pad(residual, 3, mode="reflect")
    result = np.zeros_like(residual)
    for i, j in np.ndindex(*residual.shape):
        if residual[i, j] >= steady[i, j]:
            result[i, j] = residual.var(ddof=1) ** 0.2 * padded[i : i + 7, j : j + 7].var(ddof=1)
    return result


def test_artifact_equals_a_plain_loop() -> None:
    sr, hr, ema = (noise(2, 3, 9, 11, seed=seed) for seed in range(3))
    expected = np.stack([literal_map(*(t[i].numpy() for t in (sr, hr, ema))) for i in range(2)])[:, None]
    assert (expected == 0).any() and (expected > 0).any()
    np.testing.assert_allclose(artifact_map(sr, hr, ema).numpy(), expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(
        artifact_map(sr.float(), hr.float(), ema.float()).numpy(), expected, rtol=1e-4, atol=1e-7
    )
    assert artifact(sr, hr, ema).item() == pytest.approx(np.mean(expected * np.abs(sr.numpy() - hr.numpy())), rel=1e-9)


def test_artifact_closed_form() -> None:
    """One wrong pixel in the middle of 7x7: the variance of the patch and of the pixel's own window is that of 48 zeros
    and a 3 d.
    """
    hr = torch.zeros(1, 3, 7, 7, dtype=torch.float64)
    sr = hr.clone()
    sr[..., 3, 3] = 0.2
    variance = 0.6**2 / 49  # (sum of squares - sum^2 / n) / (n - 1)
    assert artifact(sr, hr, hr).item() == pytest.approx(variance**0.2 * variance * 0.2 / 49, rel=1e-9)


def test_artifact_spares_what_the_average_does_worse() -> None:
    sr, hr = noise(1, 3, 8, 8, seed=1), noise(1, 3, 8, 8, seed=2)
    assert artifact(sr, hr, hr).item() > 0
    assert artifact(sr, hr, hr + 2 * (sr - hr)).item() == 0.0
    assert artifact(sr, hr, sr).item() > 0  # equal is not better


def test_artifact_gradient_leaves_the_map_alone() -> None:
    sr, hr, ema = noise(1, 3, 6, 6, seed=1).requires_grad_(True), noise(1, 3, 6, 6, seed=2), noise(1, 3, 6, 6, seed=3)
    fixed = artifact_map(sr, hr, ema)
    assert not fixed.requires_grad
    artifact(sr, hr, ema).backward()
    torch.testing.assert_close(sr.grad, fixed * torch.sign(sr - hr).detach() / sr.numel())
    assert torch.autograd.gradcheck(lambda x: (fixed * (x - hr).abs()).mean(), (sr,))


def test_artifact_of_a_perfect_picture_has_a_finite_gradient() -> None:
    sr = noise(1, 3, 8, 8).requires_grad_(True)
    artifact(sr, sr.detach(), sr.detach()).backward()
    assert sr.grad is not None and torch.equal(sr.grad, torch.zeros_like(sr))


# ---- adversarial


# ---- penalties


def test_lattice_sees_what_repeats_with_the_lr_pixels_and_nothing_else() -> None:
    random = torch.Generator().manual_seed(0)
    hr = torch.rand(2, 3, 64, 64, generator=random)
    assert lattice(hr, hr, 4).item() == 0.0
    assert lattice(hr + 0.1, hr, 4).item() == pytest.approx(0.0, abs=1e-7)  # a shift of color has no phase
    # One of the 16 phases a higher: its deviation from the mean is 15 a / 16, that of the 15 others a / 16.
    dots = torch.zeros(64, 64)
    dots[1::4, 2::4] = 0.08
    assert lattice(hr + dots, hr, 4).item() == pytest.approx(2 * 15 / 16**2 * 0.08, rel=1e-5)
    noise = 0.08 * torch.randn(hr.shape, generator=random)
    assert lattice(hr + noise, hr, 4) < 0.2 * (noise.abs().mean())
    checkers = hr + 0.08 * (-1.0) ** (torch.arange(64)[:, None] + torch.arange(64))
    assert lattice(checkers, hr, 4).item() == pytest.approx(0.08, rel=1e-5)


def test_lattice_takes_patches_smaller_than_its_window_and_has_a_gradient() -> None:
    sr = torch.rand(1, 3, 10, 12, requires_grad=True)
    lattice(sr, torch.zeros(1, 3, 10, 12), 2).backward()
    assert sr.grad is not None and sr.grad.abs().sum() > 0
