"""Validation of gray and 16-bit pictures, and of LR that was degraded."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")


from tests.training.monitoring.test_validation import Nearest, smooth  # noqa: E402
from upres.training.data.images import Pair, make_pair  # noqa: E402
from upres.training.monitoring.validation import (  # noqa: E402
    enlarge,
    measure,
    to_tensor,
    validate,
)


def test_gray_is_measured_on_its_own_levels() -> None:
    hr = smooth(0)[:, :, :1]
    sr = np.clip(hr.astype(int) + np.random.default_rng(1).integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)
    quality = measure(sr, make_pair("a", hr, 2), scale=2)
    inner = slice(2, -2)
    mse = np.mean((sr[inner, inner].astype(float) - hr[inner, inner]) ** 2)
    assert quality.psnr_y == quality.psnr_rgb == pytest.approx(10 * math.log10(255**2 / mse))
    assert quality.color_shift_255 == pytest.approx([float(sr.mean() - hr.mean())] * 3)
    whole = validate(Nearest(), [make_pair("a", hr, 2)], scale=2)
    assert whole is not None and math.isfinite(whole.psnr_y)


def test_16_bits_are_measured_with_their_own_peak_and_in_their_own_steps() -> None:
    hr = np.clip(smooth(0), 1, 254).astype(np.uint16) * 257
    pair = make_pair("a", hr, 2)
    sr = np.clip(hr.astype(int) + np.where(np.arange(hr.size).reshape(hr.shape) % 2, 5, -5), 0, 65535).astype(np.uint16)
    quality = measure(sr, pair, scale=2)  # a difference that 8 bits do not see
    inner = slice(2, -2)
    mse = np.mean((sr[inner, inner].astype(float) - hr[inner, inner]) ** 2)
    assert quality.psnr_rgb == pytest.approx(10 * math.log10(65535**2 / mse))
    assert measure(hr + np.uint16(257), make_pair("a", hr, 2), scale=2).color_shift_255 == pytest.approx(
        (1.0, 1.0, 1.0), abs=1e-9
    )
    eight, same = smooth(1), smooth(2)
    narrow = measure(same, make_pair("a", eight, 2), scale=2)
    wide = measure(same.astype(np.uint16) * 257, make_pair("a", eight.astype(np.uint16) * 257, 2), scale=2)
    for name in ("psnr_y", "psnr_rgb", "ssim_y", "lattice_2", "lattice_4", "contrast_2", "contrast_4"):
        assert getattr(wide, name) == pytest.approx(getattr(narrow, name)), name
    assert wide.lr_psnr == pytest.approx(narrow.lr_psnr, abs=0.2)


def test_a_network_answers_in_the_depth_of_its_picture() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (6, 7, 1), dtype=np.uint16)
    found = enlarge(Nearest(), deep)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, deep.repeat(2, axis=0).repeat(2, axis=1))
    every = np.arange(65536, dtype=np.uint16).reshape(1, 256, 256, 1)
    found_all = to_tensor(every, torch.device("cpu"))[0, 0].numpy()
    np.testing.assert_array_equal(found_all, every[0, :, :, 0].astype(np.float32) / np.float32(65535.0))


def test_where_lr_was_degraded_a_result_is_held_against_the_clean_lr() -> None:
    hr = smooth(0)
    pair = make_pair("a", hr, 2)
    dirty = Pair("a", hr, np.zeros_like(pair.stored_lr), pair.stored_lr)
    assert measure(hr, dirty, scale=2).lr_psnr == math.inf
    assert measure(hr, Pair("a", hr, dirty.lr), scale=2).lr_psnr < 20
