"""PSNR and SSIM against scikit-image, against published golden values, and on their protocol."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upres.errors import InputError
from upres.images.resize import imresize
from upres.metrics.psnr_ssim import psnr, ssim

Levels = np.ndarray


def pair(height: int = 40, width: int = 33, channels: int = 3) -> tuple[Levels, Levels]:
    """A smooth picture and a noisy copy, uint8."""
    rng = np.random.default_rng((height, width, channels))
    hr = imresize(rng.integers(0, 256, (9, 8, channels), dtype=np.uint8), size=(height, width))
    sr = np.clip(hr + rng.normal(0, 12, hr.shape), 0, 255).astype(np.uint8)
    return sr, hr


def crop(image: Levels, border: int) -> Levels:
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def scikit_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Mean of scikit-image's SSIM map over the region where the 11x11 window lies inside the picture."""
    _, full = structural_similarity(
        x.astype(np.float64),
        y.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    return float(crop(full, 5).mean())


@pytest.mark.parametrize("border", [0, 2, 4])
def test_rgb_psnr_equals_scikit_image(border: int) -> None:
    sr, hr = pair()
    expected = peak_signal_noise_ratio(crop(hr, border), crop(sr, border), data_range=255)
    assert psnr(sr, hr, border=border, luma=False) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("border", [0, 2, 4])
def test_luma_psnr_equals_scikit_image(border: int) -> None:
    sr, hr = pair()
    luma = [rgb2ycbcr(crop(image, border))[..., 0] for image in (hr, sr)]
    assert psnr(sr, hr, border=border, luma=True) == pytest.approx(
        peak_signal_noise_ratio(*luma, data_range=255), abs=1e-9
    )
    rounded = [np.floor(image + 0.5) for image in luma]
    assert psnr(sr, hr, border=border, luma=True, round_luma=True) == pytest.approx(
        peak_signal_noise_ratio(*rounded, data_range=255), abs=1e-9
    )


@pytest.mark.parametrize("border", [0, 3])
def test_rgb_ssim_equals_scikit_image(border: int) -> None:
    sr, hr = pair()
    expected = np.mean(
        [scikit_ssim(crop(sr, border)[..., channel], crop(hr, border)[..., channel]) for channel in range(3)]
    )
    assert ssim(sr, hr, border=border, luma=False) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("border", [0, 3])
def test_luma_ssim_equals_scikit_image(border: int) -> None:
    sr, hr = pair()
    luma = [rgb2ycbcr(crop(image, border))[..., 0] for image in (sr, hr)]
    assert ssim(sr, hr, border=border, luma=True) == pytest.approx(scikit_ssim(*luma), abs=1e-9)
    rounded = [np.floor(image + 0.5) for image in luma]
    assert ssim(sr, hr, border=border, luma=True, round_luma=True) == pytest.approx(scikit_ssim(*rounded), abs=1e-9)


def test_ssim_of_one_window() -> None:
    sr, hr = pair(11, 11)
    expected = np.mean([scikit_ssim(sr[..., channel], hr[..., channel]) for channel in range(3)])
    assert ssim(sr, hr, border=0, luma=False) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures() -> None:
    _, hr = pair()
    assert psnr(hr, hr, border=4, luma=True) == math.inf
    assert ssim(hr, hr, border=4, luma=True) == pytest.approx(1.0, abs=1e-12)


def test_gray_is_measured_as_three_equal_channels() -> None:
    sr, hr = pair(channels=1)
    wide = [np.repeat(image, 3, axis=2) for image in (sr, hr)]
    for measure in (psnr, ssim):
        for luma in (True, False):
            assert measure(sr, hr, border=2, luma=luma) == pytest.approx(measure(*wide, border=2, luma=luma), abs=1e-9)
            assert measure(sr[..., 0], hr[..., 0], border=2, luma=luma) == measure(sr, hr, border=2, luma=luma)


def test_floats_are_rounded_to_8_bit_first() -> None:
    sr, hr = pair()
    for nudge in (0.4, -0.4):  # less than half a level; below it, truncation would be a level off
        assert psnr(sr / 255.0 + nudge / 255.0, hr, border=0, luma=False) == psnr(sr, hr, border=0, luma=False)
    over = np.where(sr == 255, 1.5, np.where(sr == 0, -0.5, sr / 255.0))
    assert ssim(over, hr, border=0, luma=True) == ssim(sr, hr, border=0, luma=True)


def test_the_border_is_not_measured() -> None:
    _, hr = pair()
    spoiled = hr.copy()
    spoiled[:4], spoiled[-4:], spoiled[:, :4], spoiled[:, -4:] = 0, 0, 0, 0
    assert psnr(spoiled, hr, border=4, luma=False) == math.inf
    assert psnr(spoiled, hr, border=3, luma=False) < 40


def test_what_cannot_be_measured_is_refused() -> None:
    sr, hr = pair()
    with pytest.raises(InputError, match=r"same shape, got \(39, 33, 3\) and \(40, 33, 3\)"):
        psnr(sr[1:], hr, border=0, luma=True)
    with pytest.raises(InputError, match=r"border must be at least 0 and leave some of 40x33 \(h x w\) pixels, got 17"):
        psnr(sr, hr, border=17, luma=True)
    with pytest.raises(InputError, match=r"border must be .*, got -1"):
        psnr(sr, hr, border=-1, luma=True)
    with pytest.raises(InputError, match=r"SSIM needs 11x11 pixels inside the border, got 16x9 \(h x w\)"):
        ssim(sr, hr, border=12, luma=True)
    with pytest.raises(InputError, match="must be uint8, uint16 or float in"):
        psnr(sr.astype(np.int32), hr, border=0, luma=True)
    with pytest.raises(InputError, match="must be finite"):
        psnr(np.where(sr > 0, np.nan, 0.0), hr, border=0, luma=True)
    with pytest.raises(InputError, match=r"h w, h w 1 or h w 3, got shape \(40, 33, 4\)"):
        psnr(np.zeros((40, 33, 4), np.uint8), np.zeros((40, 33, 4), np.uint8), border=0, luma=True)


# MATLAB's figures for cubic x4 down and up in 8 bit, border 4, as BasicSR's metrics/README publishes them; both
# pictures are part of Set14 and were cropped to a multiple of 12 there.
GOLDEN = {"baboon": (20.419710, 22.441898, 0.391853, 0.453097), "comic": (20.239912, 21.720398, 0.567738, 0.585511)}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values_of_matlab(assets: Path, name: str) -> None:
    from skimage.io import imread

    hr = imread(assets / "data" / "test" / "Set14" / f"{name}.png")[..., :3]
    hr = hr[: hr.shape[0] // 12 * 12, : hr.shape[1] // 12 * 12]
    sr = imresize(imresize(hr, 0.25), 4.0)
    found = [measure(sr, hr, border=4, luma=luma) for measure in (psnr, ssim) for luma in (False, True)]
    assert found == pytest.approx(GOLDEN[name], abs=2e-6)


def test_16_bits_have_a_peak_of_65535_and_are_not_rounded_to_8() -> None:
    hr = np.random.default_rng(0).integers(300, 65000, (40, 33, 3), dtype=np.uint16)
    sr = hr + np.uint16(100)
    assert psnr(sr, hr, border=0, luma=False) == pytest.approx(20 * np.log10(65535 / 100))
    narrow = np.random.default_rng(1).integers(0, 256, (2, 40, 33, 3), dtype=np.uint8)
    wide = narrow.astype(np.uint16) * 257
    for measure in (psnr, ssim):
        assert measure(wide[0], wide[1], border=2, luma=True) == pytest.approx(
            measure(narrow[0], narrow[1], border=2, luma=True)
        )
