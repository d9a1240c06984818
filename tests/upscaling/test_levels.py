"""16-bit data that use only their lower bits: as good as the same data in all bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise, picture
from upres.images.io import Picture, quantize
from upres.upscaling.levels import bits_in_use
from upres.upscaling.upscaler import Upscaler


def stored(bits: int, seed: int = 1) -> Picture:
    levels = np.rint(noise(12, 14, seed=seed) * ((1 << bits) - 1))
    return picture((levels / 65535).astype(np.float32), depth=16)


@pytest.mark.parametrize(
    ("bits", "found"), [(8, 8), (10, 10), (11, 12), (12, 12), (13, 14), (14, 14), (15, None), (16, None)]
)
def test_the_bits_in_use_are_found(bits: int, found: int | None) -> None:
    assert bits_in_use(stored(bits)) == found


def test_colors_floats_8_bits_and_black_are_left_alone() -> None:
    assert bits_in_use(replace(stored(12), icc=b"profile")) is None
    assert bits_in_use(replace(stored(12), depth=8)) is None
    assert bits_in_use(picture(noise(9, 9) / 100, depth=16)) is None  # no whole levels
    assert bits_in_use(picture(np.zeros((9, 9), np.float32), depth=16)) is None


def test_the_result_is_that_of_the_whole_range_mapped_back() -> None:
    upscaler = Upscaler(compact(2))
    source = stored(12)
    result = upscaler(source)
    whole = upscaler(replace(source, pixels=source.pixels * np.float32(65535 / 4095)))
    expected = np.rint(np.clip(whole.pixels, 0, 1) * 4095)
    assert np.abs(quantize(result.pixels, 16) - expected).max() <= 1
    assert quantize(result.pixels, 16).max() <= 4095
    assert result.notes[-1] == "16-bit samples use 12 bits (levels 0 to 4,095); that range was enlarged and kept"


def test_nearest_neighbor_keeps_every_level() -> None:
    source = stored(10)
    result = Upscaler(compact(2), runner=FakeRunner())(source)
    np.testing.assert_array_equal(
        quantize(result.pixels, 16), quantize(source.pixels, 16).repeat(2, axis=0).repeat(2, axis=1)
    )


def test_arrays_of_16_bits_are_treated_alike() -> None:
    source = quantize(stored(12).pixels, 16)
    np.testing.assert_array_equal(
        Upscaler(compact(2), runner=FakeRunner())(source), source.repeat(2, axis=0).repeat(2, axis=1)
    )
