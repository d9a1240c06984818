"""imresize against a literal, sample-by-sample reading of the definition, against torch, and on what must hold by
itself.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.oracles.literal_imresize import imresize_literal
from upres.errors import UsageError
from upres.images.resize import Kernel, imresize

FACTORS = [0.25, 1 / 3, 0.5, 0.37, 0.9, 1.0, 1.3, 2.0, 3.0, 4.0]
SIZES = [(1, 1), (1, 9), (9, 1), (2, 3), (5, 4), (12, 8), (13, 17)]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, height, width)).random((height, width))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("size", SIZES)
def test_a_factor_equals_the_literal_definition(size: tuple[int, int], factor: float) -> None:
    image = noise(*size)
    target = (math.ceil(round(size[0] * factor, 9)), math.ceil(round(size[1] * factor, 9)))
    expected = imresize_literal(image, target, (factor, factor))
    result = imresize(image, factor)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [(1, 1), (3, 20), (20, 3), (7, 7), (1, 30), (12, 8), (24, 4)])
@pytest.mark.parametrize("antialias", [True, False])
def test_a_size_equals_the_literal_definition(target: tuple[int, int], antialias: bool) -> None:
    image = noise(12, 8)
    scales = (target[0] / 12, target[1] / 8)
    expected = imresize_literal(image, target, scales, antialias=antialias)
    np.testing.assert_allclose(imresize(image, size=target, antialias=antialias), expected, rtol=0, atol=1e-12)


def test_more_output_than_one_block_equals_the_literal_definition() -> None:
    image = noise(40, 3)
    expected = imresize_literal(image, (150, 3), (3.75, 1.0))
    np.testing.assert_allclose(imresize(image, size=(150, 3)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [(16, 12), (20, 30), (128, 96)])
def test_the_interior_equals_torch(target: tuple[int, int]) -> None:
    """torch renormalizes at the border where MATLAB mirrors, so only samples whose kernel lies inside are compared."""
    image = noise(64, 48)
    expected = F.interpolate(torch.from_numpy(image)[None, None], size=target, mode="bicubic", antialias=True)[
        0, 0
    ].numpy()
    result = imresize(image, size=target)
    rim = 3 if target[0] < 64 else 8
    inside = (slice(rim, -rim), slice(rim, -rim))
    np.testing.assert_allclose(result[inside], expected[inside], rtol=0, atol=2e-7)
    assert np.abs(result - expected).max() > 1e-4  # the border does differ, so this is not the same code


def test_uint8_rounds_half_up_and_clips() -> None:
    image = (noise(16, 12) * 255).astype(np.uint8)
    image[:8] = 0
    image[8:] = 255  # overshoots on both sides of the edge
    wide = imresize_literal(image.astype(np.float64), (64, 48), (4.0, 4.0))
    assert wide.min() < -1 and wide.max() > 256
    expected = np.clip(np.floor(wide + 0.5), 0, 255).astype(np.uint8)
    result = imresize(image, 4.0)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_an_exact_half_is_rounded_up() -> None:
    image = np.array([[0, 1]], np.uint8)
    assert imresize(image, size=(1, 1), kernel="area")[0, 0] == 1


def test_uint16_keeps_its_range() -> None:
    image = (noise(9, 9) * 65535).astype(np.uint16)
    expected = np.clip(np.floor(imresize_literal(image.astype(np.float64), (18, 18), (2.0, 2.0)) + 0.5), 0, 65535)
    result = imresize(image, 2.0)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, expected.astype(np.uint16))


def test_floats_are_not_clipped_and_keep_their_type() -> None:
    image = np.zeros((8, 8), np.float32)
    image[4:] = 1.0
    result = imresize(image, 4.0)
    assert result.dtype == np.float32
    assert result.min() < -0.01 and result.max() > 1.01


@pytest.mark.parametrize("kernel", ["cubic", "linear", "area", "lanczos"])
@pytest.mark.parametrize("factor", [0.25, 0.4, 2.5])
def test_a_flat_picture_stays_flat(kernel: Kernel, factor: float) -> None:
    result = imresize(np.full((11, 9, 3), 0.3), factor, kernel=kernel)
    np.testing.assert_allclose(result, 0.3, rtol=0, atol=1e-12)


def test_area_is_the_mean_of_blocks() -> None:
    image = noise(12, 8)
    np.testing.assert_allclose(
        imresize(image, 0.25, kernel="area"), image.reshape(3, 4, 2, 4).mean(axis=(1, 3)), rtol=0, atol=1e-12
    )


def test_channels_are_independent() -> None:
    image = np.stack([noise(10, 9, seed) for seed in range(3)], axis=-1)
    result = imresize(image, 0.5)
    for channel in range(3):
        alone = imresize(np.ascontiguousarray(image[..., channel]), 0.5)
        np.testing.assert_allclose(result[..., channel], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("flip", [np.flipud, np.fliplr])
def test_resizing_a_flipped_picture_flips_the_result(flip: object) -> None:
    assert callable(flip)
    image = noise(12, 20)
    np.testing.assert_allclose(
        imresize(np.ascontiguousarray(flip(image)), 0.5), flip(imresize(image, 0.5)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_an_invalid_factor_is_refused(factor: float) -> None:
    with pytest.raises(UsageError, match="factor must be positive and finite, got"):
        imresize(noise(4, 4), factor)


def test_what_cannot_be_meant_is_refused() -> None:
    image = noise(4, 4)
    with pytest.raises(UsageError, match="exactly one of factor and size"):
        imresize(image)
    with pytest.raises(UsageError, match="exactly one of factor and size"):
        imresize(image, 2.0, size=(8, 8))
    with pytest.raises(UsageError, match=r"at least 1x1, got 0x4 \(h x w\)"):
        imresize(image, size=(0, 4))
    with pytest.raises(UsageError, match=r"non-empty h w or h w c array, got shape \(0, 4\)"):
        imresize(np.zeros((0, 4)), 2.0)
    with pytest.raises(UsageError, match="kernel must be one of cubic, linear, area, lanczos, got 'sinc'"):
        imresize(image, 2.0, kernel="sinc")  # type: ignore[arg-type]
