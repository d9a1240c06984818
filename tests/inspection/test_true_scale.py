"""The true scale of pictures that were enlarged by a known factor, and silence where there is nothing to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inspection.made import Array
from upres.images.io import read_picture
from upres.images.resize import Kernel, imresize
from upres.inspection.sampling import to_luma
from upres.inspection.spectra import FEATURES
from upres.inspection.true_scale import (
    BLUR_PER_SCALE,
    SCALES,
    estimate_scale,
    likeliest,
    scale_probabilities,
)


@pytest.fixture(scope="module")
def photograph(example_photo: Path) -> Array:
    return to_luma(read_picture(example_photo).pixels)


def test_a_sharp_photograph_has_the_scale_one(photograph: Array) -> None:
    found = estimate_scale(photograph)
    assert found is not None
    assert found.scale < 1.1 and found.confidence > 0.8


@pytest.mark.parametrize(
    ("scale", "kernel"), [(1.5, "cubic"), (2.0, "cubic"), (2.0, "lanczos"), (2.5, "linear"), (3.0, "cubic")]
)
def test_an_enlarged_photograph_has_that_scale(photograph: Array, scale: float, kernel: Kernel) -> None:
    large = np.rint(np.clip(imresize(photograph, scale, kernel=kernel), 0.0, 255.0))[:512, :512]
    found = estimate_scale(large)
    assert found is not None
    assert found.scale == pytest.approx(scale, rel=0.1)
    assert found.confidence > 0.7


def test_nothing_is_said_of_small_and_empty_windows() -> None:
    assert estimate_scale(np.zeros((512, 512), np.float32)) is None
    assert estimate_scale(np.random.default_rng(0).random((143, 512), np.float32) * 255) is None


def test_probabilities_are_probabilities() -> None:
    found = scale_probabilities(np.zeros(FEATURES, np.float32))
    assert found.shape == SCALES.shape
    assert found.sum() == pytest.approx(1.0) and found.min() >= 0.0


def test_the_likeliest_scale_is_where_most_lies_within_a_tenth() -> None:
    shares = np.zeros(len(SCALES))
    shares[0], shares[13:16] = 0.4, 0.2  # more at one single place, less than in three neighbors
    found = likeliest(shares)
    assert found.confidence == pytest.approx(0.6)
    assert found.scale == pytest.approx(SCALES[14], rel=1e-6)
    assert SCALES[14] == pytest.approx(2.0, rel=0.01)


def test_blur_and_scale_leave_a_tenth_at_the_same_frequency() -> None:
    scale = 2.5
    sigma = BLUR_PER_SCALE * scale
    assert np.exp(-2 * np.pi**2 * sigma**2 * (0.5 / scale) ** 2) == pytest.approx(0.1, rel=0.01)
