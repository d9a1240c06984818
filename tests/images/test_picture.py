"""The one place where pixels are rounded: to the nearest level, clipped, and never from what is no number."""

from __future__ import annotations

import numpy as np
import pytest

from upres.errors import OutputError
from upres.images.io import quantize


def test_quantize_rounds_to_the_nearest_level_and_clips() -> None:
    x = np.array([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0, np.inf, -np.inf], np.float32)
    assert quantize(x, 8).tolist() == [0, 0, 0, 1, 255, 255, 255, 0]
    assert quantize(x, 8).dtype == np.uint8
    for depth, top in ((8, 255), (16, 65535)):
        levels = np.arange(top + 1)
        np.testing.assert_array_equal(quantize((levels / top).astype(np.float32), depth), levels)
    x = np.random.default_rng(0).random((1500, 1001), dtype=np.float32)  # more than one block
    np.testing.assert_array_equal(quantize(x, 16), np.rint(x * np.float32(65535)).astype(np.uint16))
    assert quantize(np.zeros((0, 3), np.float32), 8).shape == (0, 3)
    with pytest.raises(OutputError, match="depth must be 8 or 16, got 12"):
        quantize(x, 12)
    with pytest.raises(OutputError, match="got NaN"):
        quantize(np.array([0.5, np.nan], np.float32), 8)
