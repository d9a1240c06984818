"""The paired comparison, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from upres.training.verdict import finding_of, t_quantile


@pytest.mark.parametrize("mean", [0.3, -0.3, 0.02])
def test_the_interval_is_that_of_scipys_paired_t_test(mean: float) -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(28, 3, 9)
    after = before + mean + rng.normal(0, 0.1, 9)
    found = finding_of({str(i): b - a for i, (a, b) in enumerate(zip(before, after, strict=True))})
    low, high = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (found.low_db, found.high_db) == pytest.approx((low, high))
    words = {0.3: "helped: PSNR (Y) +0.", -0.3: "did not help: PSNR (Y) -0.", 0.02: "cannot be told: PSNR (Y) "}
    assert words[mean] in str(found) and "on 9 pictures set aside, 95 % interval" in str(found)


def test_the_points_of_students_t_are_scipys() -> None:
    for freedom in (1, 2, 3, 9, 19, 200):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)
