"""The differentiable imresize against images/resize (itself pinned to MATLAB's definition), against torch, and by
finite differences.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import UsageError  # noqa: E402
from upres.images import resize  # noqa: E402
from upres.training.losses.downscale import imresize  # noqa: E402


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, height, width)).random((height, width, channels))


def batch(*pictures: np.ndarray, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()).to(dtype)


@pytest.mark.parametrize("factor", [1 / 8, 0.25, 1 / 3, 0.5, 0.37, 0.9, 1.0, 1.3, 2.0, 4.0])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 17), (32, 24)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_equals_the_resize_of_pictures(
    size: tuple[int, int], factor: float, dtype: torch.dtype, tolerance: float
) -> None:
    pictures = [noise(*size, seed=seed) for seed in range(2)]
    result = imresize(batch(*pictures, dtype=dtype), factor)
    assert result.dtype == dtype
    for picture, twin in zip(pictures, result, strict=True):
        expected = resize.imresize(picture, factor)
        assert twin.shape[1:] == expected.shape[:2]
        np.testing.assert_allclose(twin.numpy().transpose(1, 2, 0), expected, rtol=0, atol=tolerance)


def test_a_training_patch_equals_the_resize_of_pictures() -> None:
    picture = noise(128, 128).astype(np.float32)
    expected = resize.imresize(picture, 0.25)
    result = imresize(batch(picture, dtype=torch.float32), 0.25)[0].numpy().transpose(1, 2, 0)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_the_interior_equals_torch() -> None:
    """torch renormalizes at the border where we mirror, so only samples whose kernel lies inside are compared."""
    x = batch(noise(64, 48))
    expected = torch.nn.functional.interpolate(x, size=(16, 12), mode="bicubic", antialias=True)
    torch.testing.assert_close(imresize(x, 0.25)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=0, atol=1e-7)


@pytest.mark.parametrize("factor", [0.5, 0.37, 1.5])
def test_the_gradient_by_finite_differences(factor: float) -> None:
    x = batch(noise(5, 7, channels=1)).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda t: imresize(t, factor), (x,))
    assert torch.autograd.gradgradcheck(lambda t: imresize(t, factor) ** 2, (x,))


def test_sums_keep_their_gradient() -> None:
    """Every row of weights sums to 1, so the gradient of the sum over an enlarged axis sums to the output's size."""
    x = batch(noise(12, 8)).requires_grad_(True)
    imresize(x, 0.25).sum().backward()
    assert x.grad is not None
    assert x.grad.sum().item() == pytest.approx(3 * 3 * 2)


def test_half_precision_and_autocast_are_computed_in_float32() -> None:
    x = batch(noise(16, 16), dtype=torch.bfloat16)
    expected = imresize(x.float(), 0.25)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for result in (imresize(x, 0.25), imresize(x.float(), 0.25)):
            assert result.dtype == torch.float32
            torch.testing.assert_close(result, expected, rtol=0, atol=0)


def test_a_first_use_in_inference_mode_does_not_spoil_training() -> None:
    x = batch(noise(22, 26))  # a size that no other test uses: the matrices are made here and kept
    with torch.inference_mode():
        imresize(x, 0.5)
    x.requires_grad_(True)
    imresize(x, 0.5).sum().backward()
    assert x.grad is not None


def test_what_cannot_be_meant_is_refused() -> None:
    x = torch.zeros(1, 3, 4, 4)
    for factor in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="the resize factor must be positive and finite, got"):
            imresize(x, factor)
    with pytest.raises(UsageError, match=r"a non-empty batch b c h w, got shape \(3, 4, 4\)"):
        imresize(x[0], 0.5)
    with pytest.raises(UsageError, match=r"a non-empty batch b c h w, got shape \(0, 3, 4, 4\)"):
        imresize(x[:0], 0.5)
