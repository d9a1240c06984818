from __future__ import annotations

import numpy as np
import pytest

from upres.images import alpha as module
from upres.images.io import bleed_alpha


def test_visible_pixels_are_untouched_and_hidden_ones_take_the_color_beside_them() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((37, 53, 3), dtype=np.float32)
    alpha = np.zeros((37, 53), np.float32)
    pixels[:, :20], alpha[:, :20] = (0.9, 0.1, 0.2), 1.0
    pixels[:, 40:], alpha[:, 40:] = (0.1, 0.8, 0.3), 0.5
    before = pixels.copy()
    result = bleed_alpha(pixels, alpha)
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(result[alpha > 0], pixels[alpha > 0])
    np.testing.assert_allclose(result[:, 20], np.broadcast_to((0.9, 0.1, 0.2), (37, 3)), atol=0.15)
    np.testing.assert_allclose(result[:, 39], np.broadcast_to((0.1, 0.8, 0.3), (37, 3)), atol=0.15)
    assert np.all(np.diff(result[18, 19:41, 0]) <= 1e-6)  # from one color to the other, without a swing


@pytest.mark.parametrize("channels", [1, 3])
def test_one_color_fills_everything(channels: int) -> None:
    pixels = np.zeros((700, 9, channels), np.float32)
    alpha = np.zeros((700, 9), np.float32)
    pixels[321, 4], alpha[321, 4] = 0.625, 0.25
    np.testing.assert_allclose(bleed_alpha(pixels, alpha), 0.625, atol=1e-6)


def test_strips_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.random((101, 30, 3), dtype=np.float32)
    alpha = (rng.random((101, 30)) > 0.97).astype(np.float32)
    whole = bleed_alpha(pixels, alpha)
    for rows in (2, 16, 34, 100):
        monkeypatch.setattr(module, "_STRIP_ROWS", rows)
        np.testing.assert_array_equal(bleed_alpha(pixels, alpha), whole)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_nothing_to_do(value: float) -> None:
    pixels = np.random.default_rng(0).random((1, 5, 3), dtype=np.float32)
    assert bleed_alpha(pixels, np.full((1, 5), value, np.float32)) is pixels


def test_one_pixel_wide() -> None:
    pixels = np.array([0.2, 0.0, 0.0, 0.0, 0.8], np.float32)
    alpha = np.array([1, 0, 0, 0, 1], np.float32)
    for shape in ((1, 5), (5, 1)):
        filled = bleed_alpha(pixels.reshape(*shape, 1), alpha.reshape(shape)).ravel()
        assert np.all(np.diff(filled) >= 0)
        assert filled[0] == np.float32(0.2)
        assert 0.2 < filled[2] < 0.8
