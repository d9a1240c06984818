"""Whether one network is better than another on the same pictures: the mean of paired differences, and its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["helped", "did not help", "cannot be told"]


@dataclass(frozen=True)
class Finding:
    """What fine-tuning was worth: PSNR (Y) of the result less that of its parent, over the pictures set aside.

    differences_db: of each picture, by name. mean_db, low_db, high_db: their mean and its 95 % interval.
    """

    differences_db: Mapping[str, float]
    mean_db: float
    low_db: float
    high_db: float

    @property
    def verdict(self) -> Verdict:
        return "helped" if self.low_db > 0.0 else "did not help" if self.high_db < 0.0 else "cannot be told"

    def __str__(self) -> str:
        figures = (
            f"PSNR (Y) {self.mean_db:+.3f} dB on {len(self.differences_db)} pictures set aside, "
            f"95 % interval {self.low_db:+.3f} to {self.high_db:+.3f}"
        )
        return {
            "helped": f"fine-tuning helped: {figures}",
            "did not help": f"fine-tuning did not help: {figures}",
            "cannot be told": f"whether fine-tuning helped cannot be told: {figures}",
        }[self.verdict]


def finding_of(differences_db: Mapping[str, float]) -> Finding:
    """The mean of paired differences and its interval by Student's t (Gosset, "The probable error of a mean", 1908)."""
    values = np.array(list(differences_db.values()), np.float64)
    mean = float(values.mean())
    reach = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Finding(dict(differences_db), mean, mean - reach, mean + reach)


def t_quantile(freedom: int) -> float:
    """The 97.5 % point of Student's t with `freedom` degrees, from its density by Simpson's rule and bisection."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)

    def above_zero(x: float) -> float:
        y = np.linspace(0.0, x, 4001)
        density = scale * (1.0 + y**2 / freedom) ** (-(freedom + 1) / 2)
        return float(density[0] + density[-1] + 4 * density[1::2].sum() + 2 * density[2:-1:2].sum()) * x / 12000.0

    low, high = 0.0, 13.0  # 12.71 with one degree
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above_zero(middle) < 0.475 else (low, middle)
    return high
