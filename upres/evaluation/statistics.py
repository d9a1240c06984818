"""What a mean over few pictures is worth: bootstrap intervals (Efron 1979, the percentile method)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
_AT_ONCE = 1_000_000  # values drawn at a time


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float] | None:
    """The 95 % interval of the mean of `values`: percentiles 2.5 and 97.5 of the means of 10,000 resamples.

    seed: Equal values and seeds give equal intervals.

    Returns None for fewer than two values, and where one is not finite.
    """
    sample = np.asarray(values, np.float64)
    if len(sample) < 2 or not np.isfinite(sample).all():
        return None
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(sample))
    means = np.concatenate(
        [
            sample[rng.integers(len(sample), size=(min(rows, RESAMPLES - start), len(sample)))].mean(axis=1)
            for start in range(0, RESAMPLES, rows)
        ]
    )
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
