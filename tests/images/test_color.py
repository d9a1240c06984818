from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from upres.images.color import rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((13, 7, 3))


def test_luma_equals_scikit_image() -> None:
    image = picture()
    np.testing.assert_allclose(rgb_to_y(image) * 255.0, rgb2ycbcr(image)[..., 0], rtol=0, atol=1e-10)


def test_ycbcr_equals_scikit_image() -> None:
    image = picture()
    np.testing.assert_allclose(rgb_to_ycbcr(image) * 255.0, rgb2ycbcr(image), rtol=0, atol=1e-10)


def test_there_and_back() -> None:
    image = picture()
    np.testing.assert_allclose(ycbcr_to_rgb(rgb_to_ycbcr(image)), image, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("level", "luma_255"), [(0.0, 16.0), (1.0, 235.0)])
def test_studio_range(level: float, luma_255: float) -> None:
    assert rgb_to_y(np.full((1, 1, 3), level))[0, 0] * 255.0 == pytest.approx(luma_255, abs=1e-12)


def test_luma_of_float32_is_computed_in_float64() -> None:
    image = picture().astype(np.float32)
    luma = rgb_to_y(image)
    assert luma.dtype == np.float64
    np.testing.assert_array_equal(luma, rgb_to_y(image.astype(np.float64)))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1), (4, 4, 4), (1, 4, 4, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    for function in (rgb_to_y, rgb_to_ycbcr, ycbcr_to_rgb):
        with pytest.raises(ValueError, match=r"expected an h w 3 array, got shape \("):
            function(np.zeros(shape))
