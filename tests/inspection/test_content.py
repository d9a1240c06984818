"""Gray, drawn, banded: made pictures of each kind, and the same behind noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inspection.made import Array, noisy, texture
from upres.images.io import read_picture
from upres.images.resize import imresize
from upres.inspection.content import banding, is_drawn, is_gray, step_shares
from upres.inspection.sampling import spread_blocks, to_luma


def drawing(side_px: int = 320) -> Array:
    """Luma in levels of flat shapes with hard edges on white paper."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:side_px, :side_px]
    picture = np.full((side_px, side_px), 255.0, np.float32)
    for _ in range(30):
        row, column, radius = rng.uniform(0, side_px, 3) * (1.0, 1.0, 0.12)
        picture[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = rng.uniform(0, 230)
    return np.rint(picture)


def clouds() -> Array:
    """Luma in levels of shading at all sizes, as photographs have it."""
    rng = np.random.default_rng(2)
    layers = [
        imresize(rng.standard_normal((side, side)), size=(320, 320)) * 40.0 * (5.0 / side) ** 0.6
        for side in (5, 10, 20, 40, 80, 160)
    ]
    return np.rint(np.clip(120.0 + sum(layers), 1.0, 254.0)).astype(np.float32)


def test_a_drawing_is_told_from_a_photograph(example_photo: Path) -> None:
    photograph = to_luma(read_picture(example_photo).pixels)
    assert is_drawn(drawing(), 0.0, 0.0) is True
    assert is_drawn(photograph, 0.0, 0.0) is not True
    assert is_drawn(clouds(), 0.0, 0.0) is False


def test_an_enlarged_drawing_is_not_taken_for_a_photograph() -> None:
    large = imresize(drawing(), 3.0, kernel="cubic")[:512, :512]
    assert is_drawn(np.clip(large, 0.0, 255.0), 0.0, 0.0) is not False


def test_a_photographed_thing_on_white_paper_is_no_drawing(example_photo: Path) -> None:
    photograph = to_luma(read_picture(example_photo).pixels)
    page = np.full((512, 512), 255.0, np.float32)
    page[150:300, 150:300] = photograph[:150, :150]
    assert is_drawn(page, 0.0, 0.0) is not True


def test_noise_hides_what_a_drawing_is() -> None:
    assert is_drawn(drawing() + noisy((8.0,))[..., 0], 8.0, 0.0) is None


def test_empty_and_tiny_windows_tell_nothing() -> None:
    assert step_shares(np.full((64, 64), 255.0, np.float32), 1.5) is None
    assert step_shares(np.zeros((6, 600), np.float32), 1.5) is None
    assert is_drawn(np.zeros((64, 64), np.float32), 0.0, 0.0) is None


def test_the_shares_of_a_ramp_are_those_of_its_slope() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.float32)[None, :], (200, 200))  # 4 levels in 4 px
    shares = step_shares(ramp, 1.5)
    assert shares is not None
    assert np.exp(shares[:6]) - 0.01 == pytest.approx([0, 1, 0, 0, 0, 0], abs=1e-9)
    assert 0.95 < np.exp(shares[6]) - 0.01 <= 1.0
    assert np.exp(shares[7]) - 0.01 == pytest.approx(12 / 194, rel=0.01)  # three levels of four columns


def test_gray_is_where_all_channels_agree() -> None:
    gray = np.repeat(texture()[:, :, None], 3, axis=2)
    assert is_gray(spread_blocks(gray, (0, 0)))
    assert is_gray(spread_blocks(gray[:, :, :1], (0, 0)))
    assert not is_gray(spread_blocks(gray * np.array([1.0, 0.9, 0.8], np.float32), (0, 0)))
    colored = gray.copy()
    colored[:40, :40, 0] += 30.0  # a small red thing
    assert not is_gray(spread_blocks(colored, (0, 0)))


def test_colored_noise_on_a_gray_picture_leaves_it_gray() -> None:
    assert is_gray(spread_blocks(noisy((10.0, 10.0, 10.0)), (0, 0)), 6.7)
    assert is_gray(np.zeros((0, 8, 8, 3), np.float32)) is False


@pytest.mark.parametrize(("noise", "expected"), [(0.0, True), (1.5, False)])
def test_a_smooth_gradient_is_banded_unless_noise_breaks_its_steps(noise: float, expected: bool) -> None:
    rows, columns = np.mgrid[:64, :640].astype(np.float32)
    gradient = 60.0 + columns / 16.0 + rows / 200.0
    gradient += np.random.default_rng(0).standard_normal(gradient.shape).astype(np.float32) * np.float32(noise)
    assert (banding(np.rint(gradient)) >= 0.02) is expected


def test_flat_areas_and_texture_are_not_banded() -> None:
    assert banding(drawing()[::5]) < 0.02
    assert banding(texture()[::5]) < 0.02
    assert banding(np.zeros((64, 400), np.float32)) == 0.0
    assert banding(np.zeros((1, 1), np.float32)) == 0.0
