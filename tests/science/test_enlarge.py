"""Means, gaps, windows and extremes of enlarged values, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.science.made import field, repeating
from tests.tiny import compact
from upres.errors import UsageError
from upres.science.enlarge import Box, Enlarger
from upres.science.values import Mapping, Statistics
from upres.upscaling.upscaler import Upscaler


def mapping_of(values: NDArray[Any], valid: NDArray[np.bool_]) -> Mapping:
    statistics = Statistics(values.dtype)
    statistics.add(values, valid)
    return statistics.mapping()


def made(
    enlarger: Enlarger, values: NDArray[Any], valid: NDArray[np.bool_], box: Box, forbidden: float | None = None
) -> NDArray[Any]:
    at = enlarger.source_box(box)
    part = (slice(at.top, at.bottom), slice(at.left, at.right))
    mapping = mapping_of(values[:, :, 0], valid[:, :, 0])
    return enlarger.enlarge(values[part], valid[part], [mapping], box, forbidden=forbidden)[0]


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_the_mean_of_a_region_is_the_sources(dtype: str) -> None:
    """A network that shifts all values by noise: regions of 8 x 8 samples keep their mean to a thousandth."""
    upscaler = Upscaler(compact(4, strength=0.5, seed=3), threads=1)
    values = (field(64, 80) * 3000 + 500).astype(dtype)[:, :, None]
    valid = np.ones(values.shape, bool)
    enlarger = Enlarger(upscaler, 64, 80, (256, 320), has_gaps=False)
    result = made(enlarger, values, valid, Box(0, 256, 0, 320)).astype(float)
    plain = np.asarray(upscaler(((values - 500) / 3000).astype(np.float32))) * 3000 + 500
    before, found = (array.reshape(8, 32, 10, 32).mean(axis=(1, 3)) for array in (plain.astype(float), result))
    wanted = values.astype(float).reshape(8, 8, 10, 8).mean(axis=(1, 3))
    assert np.abs(before / wanted - 1.0).max() > 0.01  # the network alone does not
    assert np.abs(found / wanted - 1.0).max() < 0.001
    assert result.min() >= values.min() and result.max() <= values.max()


@pytest.mark.parametrize("value", [0, 1, 500, 4095])
@pytest.mark.parametrize("factor", [2.0, 2.6])
def test_a_flat_field_stays_flat(value: int, factor: float) -> None:
    values = np.full((32, 32, 1), value, np.uint16)
    size = (round(32 * factor), round(32 * factor))
    enlarger = Enlarger(Upscaler(compact(2, strength=0.5), threads=1), 32, 32, size, has_gaps=False)
    result = made(enlarger, values, np.ones(values.shape, bool), Box(0, size[0], 0, size[1]))
    assert result.shape == (*size, 1) and (result == value).all()


@pytest.mark.parametrize("gap", [-9999.0, np.nan])
def test_gaps_stay_gaps_and_never_bleed(gap: float) -> None:
    """Values beside a gap are those that they would be if the gap had any other value."""
    values = (field(48, 56, 1) * 100 + 20).astype(np.float32)[:, :, None]
    valid = np.ones(values.shape, bool)
    valid[10:30, 12:33] = False
    upscaler = Upscaler(compact(2, strength=0.3), threads=1)
    results = []
    for filling in (gap, 1e7):
        stored = np.where(valid, values, np.float32(filling))
        enlarger = Enlarger(upscaler, 48, 56, (96, 112), has_gaps=True)
        results.append(made(enlarger, stored, valid, Box(0, 96, 0, 112), gap))
    known = valid.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(results[0][~known], np.full((~known).sum(), gap, np.float32))
    np.testing.assert_array_equal(results[0][known], results[1][known])
    assert results[0][known].min() >= 20 and results[0][known].max() <= 120


@pytest.mark.parametrize("factor", [2.0, 2.5])
def test_windows_leave_no_trace(factor: float) -> None:
    values = (field(200, 232, 2) * 4000).astype(np.uint16)[:, :, None]
    valid = np.ones(values.shape, bool)
    valid[90:130, 60:150] = False
    size = (round(200 * factor), round(232 * factor))
    upscaler = Upscaler(compact(2, strength=0.3), threads=1, exact=True)
    enlarger = Enlarger(upscaler, 200, 232, size, has_gaps=True)
    whole = made(enlarger, values, valid, Box(0, size[0], 0, size[1]))
    for top, left in ((0, 0), (160, 256), (256, 96), (320, 384)):
        box = Box(top, min(size[0], top + 96), left, min(size[1], left + 96))
        part = made(enlarger, values, valid, box)
        wanted = whole[box.top : box.bottom, box.left : box.right]
        assert np.abs(part.astype(int) - wanted.astype(int)).max() <= 1  # rounding of products of other lengths
    assert enlarger.source_box(Box(320, 416, 384, 480)).shape != (200, 232)


def test_samples_are_repeated_where_they_are_classes() -> None:
    classes = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    enlarger = Enlarger(repeating(), 3, 4, (6, 8), has_gaps=False)
    np.testing.assert_array_equal(enlarger.nearest(classes, Box(0, 6, 0, 8)), classes.repeat(2, 0).repeat(2, 1))


def test_smaller_results_and_seamless_ones_are_refused() -> None:
    with pytest.raises(UsageError, match="is enlarged only, got a size of 7 x 8"):
        Enlarger(repeating(), 8, 8, (8, 7), has_gaps=False)
    seamless = Upscaler(compact(2), wrap=True)
    with pytest.raises(UsageError, match="`wrap` is for seamless textures"):
        Enlarger(seamless, 8, 8, (16, 16), has_gaps=False)
