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
    """What fine-tuning was worth by one measure, over the pictures set aside.

    differences_db: how much better the result is than its parent on each picture, by name: PSNR (Y) in dB, or by how
        much a perceptual distance fell. mean_db, low_db, high_db: their mean and its 95 % interval.
    measure: the name of a distance; "" for PSNR (Y).
    """

    differences_db: Mapping[str, float]
    mean_db: float
    low_db: float
    high_db: float
    measure: str = ""

    @property
    def verdict(self) -> Verdict:
        return "helped" if self.low_db > 0.0 else "did not help" if self.high_db < 0.0 else "cannot be told"

    @property
    def figures(self) -> str:
        """The mean and its interval; of a distance as it changed, lower is better."""
        count = f"on {len(self.differences_db)} pictures set aside, 95 % interval"
        if self.measure:
            return f"{self.measure} {-self.mean_db:+.4f} {count} {-self.high_db:+.4f} to {-self.low_db:+.4f}"
        return f"PSNR (Y) {self.mean_db:+.3f} dB {count} {self.low_db:+.3f} to {self.high_db:+.3f}"

    def __str__(self) -> str:
        figures = self.figures
        return {
            "helped": f"fine-tuning helped: {figures}",
            "did not help": f"fine-tuning did not help: {figures}",
            "cannot be told": f"whether fine-tuning helped cannot be told: {figures}",
        }[self.verdict]


def finding_of(differences_db: Mapping[str, float], measure: str = "") -> Finding:
    """The mean of paired differences and its interval by Student's t (Gosset, "The probable error of a mean", 1908)."""
    values = np.array(list(differences_db.values()), np.float64)
    mean = float(values.mean())
    reach = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Finding(dict(differences_db), mean, mean - reach, mean + reach, measure)


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
