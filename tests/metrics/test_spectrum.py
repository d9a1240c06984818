"""Energy on the lattice of 2 and 4 pixels: against closed forms of periodic pictures, and on a photograph that carries
a pattern.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upres.errors import InputError, UsageError
from upres.images.resize import imresize
from upres.metrics.spectrum import high_band_ratio, lattice_contrast, lattice_energy, lattice_ratio

Levels = np.ndarray


def checkerboard(period_px: int, height: int = 66, width: int = 101) -> np.ndarray:
    """+1 and -1 in square fields of half a period."""
    y, x = np.indices((height, width)) // (period_px // 2)
    return 1.0 - 2.0 * ((y + x) % 2)


@pytest.fixture(scope="module")
def photo(example_photo: Path) -> Levels:
    from upres.images.io import quantize, read_picture

    return quantize(read_picture(example_photo).pixels, 8)[:384, :320]


@pytest.mark.parametrize("amplitude", [1.0, 12.0])
def test_a_checkerboard_has_the_square_of_its_amplitude(amplitude: float) -> None:
    two, four = (128.0 + amplitude * checkerboard(period) for period in (2, 4))
    for picture in (two.astype(np.uint8), two / 255.0, np.repeat(two[:, :, None] / 255.0, 3, axis=2)):
        assert lattice_energy(picture, 2) == pytest.approx(amplitude**2, rel=1e-9)
        assert lattice_energy(picture, 4) == pytest.approx(amplitude**2, rel=1e-9)
    assert lattice_energy(four.astype(np.uint8), 4) == pytest.approx(amplitude**2, rel=1e-9)
    assert lattice_energy(four.astype(np.uint8), 2) < 1e-9 * amplitude**2


def test_a_picture_that_repeats_every_four_pixels_has_all_its_variance_there() -> None:
    cell = np.random.default_rng(0).uniform(0.2, 0.8, (4, 4))
    picture = np.tile(cell, (12, 20))
    assert lattice_energy(picture, 4) == pytest.approx(255.0**2 * cell.var(), rel=1e-9)
    folded = cell.reshape(2, 2, 2, 2).mean(axis=(0, 2))  # what of the cell repeats every two pixels
    assert lattice_energy(picture, 2) == pytest.approx(255.0**2 * folded.var(), rel=1e-9)


def test_luma_weighs_the_channels_as_bt_601() -> None:
    board = checkerboard(2)
    for channel, weight in enumerate((0.299, 0.587, 0.114)):
        picture = np.full((*board.shape, 3), 0.5)
        picture[:, :, channel] += 0.1 * board
        assert lattice_energy(picture, 2) == pytest.approx((25.5 * weight) ** 2, rel=1e-6)


def test_a_pattern_whose_strength_varies_slowly_is_found_and_one_of_another_period_is_not() -> None:
    y, x = np.indices((256, 256))
    waxing = np.cos(2 * np.pi * y / 128)
    assert lattice_energy(0.5 + waxing * checkerboard(2, 256, 256) / 255.0, 2) == pytest.approx(0.5, rel=1e-6)
    for period in (3, 8, 16):
        assert lattice_energy(0.5 + 0.1 * np.cos(2 * np.pi * x / period), 4) < 1e-5  # of 325


def test_stripes_along_either_axis_are_found() -> None:
    y, x = np.indices((64, 64))
    for stripes in (y % 2, x % 2):
        assert lattice_energy((100 + 6 * stripes).astype(np.uint8), 2) == pytest.approx(9.0, rel=1e-9)


@pytest.mark.parametrize("period_px", [2, 4])
def test_a_photograph_has_the_ratio_one_to_itself_and_a_contrast_near_one(photo: Levels, period_px: int) -> None:
    assert lattice_ratio(photo, photo, period_px) == 1.0
    assert 0.5 < lattice_contrast(photo, period_px) < 2.5


@pytest.mark.parametrize("period_px", [2, 4])
def test_nearest_neighbor_enlarging_stands_far_above_bicubic(photo: Levels, period_px: int) -> None:
    lr = imresize(photo, 0.25)
    nearest, bicubic = lr.repeat(4, axis=0).repeat(4, axis=1), imresize(lr, 4.0)
    assert lattice_ratio(nearest, photo, period_px) > 100.0 * lattice_ratio(bicubic, photo, period_px)
    assert lattice_ratio(bicubic, photo, period_px) < 0.05


@pytest.mark.parametrize("period_px", [2, 4])
def test_contrast_finds_a_faint_pattern_that_hides_from_the_ratio(photo: Levels, period_px: int) -> None:
    soft = imresize(imresize(photo, 0.25), 4.0).astype(np.float64)
    pattern = checkerboard(period_px, *photo.shape[:2])[:, :, None]
    faint = np.clip(np.rint(soft + pattern), 0, 255).astype(np.uint8)
    assert lattice_contrast(soft.astype(np.uint8), period_px) < 1.5
    assert lattice_contrast(faint, period_px) > 20.0
    if period_px == 4:
        assert lattice_ratio(faint, photo, 4) < 1.0
    strong = np.clip(np.rint(photo + 8.0 * pattern), 0, 255).astype(np.uint8)
    assert lattice_ratio(strong, photo, period_px) > 5.0


def test_flat_pictures_are_no_pattern() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert lattice_ratio(flat, flat + np.uint8(9), 4) == pytest.approx(1.0, abs=1e-9)
    assert lattice_contrast(flat, 4) == pytest.approx(1.0, abs=1e-9)


def test_what_cannot_be_measured_is_refused() -> None:
    good = np.zeros((64, 64), np.uint8)
    with pytest.raises(UsageError, match="period_px must be 2 or 4, got 3"):
        lattice_energy(good, 3)
    with pytest.raises(InputError, match=r"at least 32x32 pixels, got 64x31 \(h x w\)"):
        lattice_energy(good[:, :31], 2)
    with pytest.raises(InputError, match=r"h w, h w 1 or h w 3, got shape \(64, 64, 4\)"):
        lattice_contrast(np.zeros((64, 64, 4), np.uint8), 2)
    with pytest.raises(InputError, match="must be uint8 or float in"):
        lattice_energy(good.astype(np.int16), 2)
    with pytest.raises(InputError, match="must be finite"):
        lattice_energy(np.full((64, 64), np.nan), 2)
    with pytest.raises(InputError, match=r"same shape, got \(64, 60\) and \(64, 64\)"):
        lattice_ratio(good[:, :60], good, 2)


def test_the_high_band_of_a_sine_is_its_energy() -> None:
    """A sine above the band of LR counts, one below it does not."""
    x = np.arange(256)
    low, high = np.sin(2 * np.pi * x * 16 / 256), np.sin(2 * np.pi * x * 40 / 256)  # 1/16 and 5/32 cycles per pixel

    def picture(*lines: np.ndarray) -> np.ndarray:
        return np.tile(np.clip(0.5 + 0.1 * sum(lines), 0, 1).astype(np.float32), (256, 1))

    both = picture(low, high)
    assert high_band_ratio(both, both, 4) == pytest.approx(1.0)
    assert high_band_ratio(picture(low), both, 4) < 0.01
    assert high_band_ratio(picture(low, 0.5 * high), both, 4) == pytest.approx(0.25, abs=0.01)
    assert high_band_ratio(picture(low, 2 * high), both, 4) == pytest.approx(4.0, abs=0.05)
    assert high_band_ratio(picture(low), both, 2) == pytest.approx(1.0, abs=0.05)  # 5/32 is within LR's band at x2


def test_the_high_band_refuses_what_it_cannot_compare() -> None:
    image = np.zeros((64, 64), np.uint8)
    with pytest.raises(UsageError, match="`scale` must be 2 or more"):
        high_band_ratio(image, image, 1)
    with pytest.raises(InputError, match="same shape"):
        high_band_ratio(image, image[:60], 2)
