"""Bootstrap intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from upres.evaluation.statistics import bootstrap_interval


def test_against_scipy() -> None:
    values = np.random.default_rng(2).normal(30.0, 3.0, 14)
    interval = bootstrap_interval(values.tolist())
    assert interval is not None
    other = bootstrap((values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(0))
    assert interval == pytest.approx(tuple(other.confidence_interval), abs=0.08)


def test_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(0.0, 1.0, 40).tolist()) or (math.nan, math.nan)
        covered += low <= 0.0 <= high
    assert 180 <= covered <= 198


def test_equal_values_have_no_width_and_the_result_does_not_change() -> None:
    assert bootstrap_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert bootstrap_interval([1.0, 2.0, 4.0]) == bootstrap_interval([1.0, 2.0, 4.0])


def test_one_picture_and_infinity_have_no_interval() -> None:
    assert bootstrap_interval([]) is bootstrap_interval([30.0]) is None
    assert bootstrap_interval([30.0, math.inf]) is None
