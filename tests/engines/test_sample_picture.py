"""The picture that engines are probed with: always the same, in the range and size asked for, and not a dull one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upres.engines.sample_picture import sample
from upres.images.io import read_picture


@pytest.mark.parametrize(
    ("channels", "height", "width"), [(3, 48, 65), (1, 128, 20), (3, 1, 1), (3, 200, 300), (1, 400, 130)]
)
def test_shape_range_and_layout(channels: int, height: int, width: int) -> None:
    lr = sample(channels, height, width)
    assert lr.shape == (1, channels, height, width)
    assert lr.dtype == np.float32 and lr.flags.c_contiguous
    assert lr.min() >= 0.0 and lr.max() <= 1.0


def test_it_is_the_middle_of_the_example_photograph(example_photo: Path) -> None:
    pixels = read_picture(example_photo).pixels[40:168, 48:176]
    np.testing.assert_allclose(sample(3, 128, 128)[0].transpose(1, 2, 0), pixels, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sample(1, 128, 128)[0, 0], pixels @ np.array([0.299, 0.587, 0.114]), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(sample(3, 64, 64), sample(3, 128, 128)[:, :, 32:96, 32:96])


def test_it_holds_edges_and_shades() -> None:
    lr = sample(3, 48, 48)
    assert lr.std() > 0.15
    assert np.abs(np.diff(lr, axis=3)).max() > 0.3


def test_what_is_returned_belongs_to_the_caller() -> None:
    sample(3, 128, 128)[:] = 0.0
    assert sample(3, 128, 128).max() > 0.5
