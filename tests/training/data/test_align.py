"""Shifted pairs are registered to a tenth of a pixel, against shifts that are made by resampling a larger picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from upres.errors import InputError
from upres.images.io import read_picture
from upres.images.resize import imresize
from upres.training.data.align import align, shifted
from upres.training.data.images import Levels
from upres.training.data.pairs import misalignment


@pytest.fixture(scope="module")
def photo(example_photo: Path) -> Levels:
    """Four times as large as the photograph: a shift of one of its pixels is a quarter of one of HR's."""
    small = np.rint(read_picture(example_photo).pixels[:128, :128] * 255).astype(np.uint8)
    return imresize(small, 4.0)


def pair(photo: Levels, scale: int, down: int, right: int) -> tuple[Levels, Levels]:
    """HR and LR of the photograph, LR `down` and `right` of HR, in pixels of `photo`: quarters of one of HR."""
    margin = 48
    height, width = ((side - 2 * margin) // (4 * scale) * 4 * scale for side in photo.shape[:2])
    hr = imresize(photo[margin : margin + height, margin : margin + width], 0.25)
    seen = photo[margin - down : margin - down + height, margin - right : margin - right + width]
    return hr, imresize(seen, 1 / (4 * scale))


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-14, 27), (31, -30), (1, 1)])
def test_shifts_are_found_and_taken_away_to_a_tenth_of_a_pixel(
    photo: Levels, scale: int, down: int, right: int
) -> None:
    hr, lr = pair(photo, scale, down, right)
    true = (down / (4 * scale), right / (4 * scale))
    found = align(hr, lr, scale, "a")
    assert math.dist(found.shift_px, true) < 0.1
    assert found.hr.shape[:2] == tuple(side * scale for side in found.lr.shape[:2])
    rest = misalignment(found.hr, found.lr, scale)
    assert rest is not None and math.hypot(*rest) < 0.1
    expected = found.hr if scale == 1 else imresize(found.hr, 1 / scale)
    before = hr if scale == 1 else imresize(hr, 1 / scale)
    height, width = found.lr.shape[:2]
    inner = (slice(4, -4), slice(4, -4))
    error = np.abs(expected[inner].astype(float) - found.lr[inner]).mean()
    assert error < 1.5 or error < 0.2 * np.abs(before[:height, :width].astype(float) - lr[:height, :width]).mean()


def test_noise_and_16_bits_do_not_matter(photo: Levels) -> None:
    hr, lr = pair(photo, 2, 21, -10)
    noisy = lr + np.random.default_rng(0).normal(0, 8, lr.shape)
    found = align(hr.astype(np.uint16) * 257, np.rint(noisy.clip(0, 255) * 257).astype(np.uint16), 2, "a")
    assert math.dist(found.shift_px, (21 / 8, -10 / 8)) < 0.1 and found.hr.dtype == np.uint16


def test_whole_pixels_are_cut_and_not_resampled(photo: Levels) -> None:
    hr, lr = pair(photo, 2, 0, 0)
    large, small = shifted(hr, lr, 2, (1.0, -1.5))
    np.testing.assert_array_equal(large, hr[: large.shape[0], 3 : 3 + large.shape[1]])
    np.testing.assert_array_equal(small, lr[1:, : small.shape[1]])


def test_what_cannot_be_registered_is_refused(photo: Levels) -> None:
    hr, lr = pair(photo, 1, 44, 0)
    with pytest.raises(InputError, match=r"a: LR is \+1\d.\d down and .* right of HR, in LR pixels: at most 8"):
        align(hr, lr, 1, "a")
    with pytest.raises(InputError, match=r"do not fit|at most 8"):
        align(hr, np.ascontiguousarray(lr[:, ::-1]), 1, "a")
    flat = np.full_like(lr, 7)
    assert align(hr, flat, 1, "a").shift_px == (0.0, 0.0)
