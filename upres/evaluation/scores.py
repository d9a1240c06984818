"""The scores of a picture: which there are, what their columns are called, and means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

# field of Scores -> decimals, whether more is better
DECIMALS = {
    "psnr_y": 2, "ssim_y": 4, "psnr_rgb": 2, "ssim_rgb": 4, "niqe": 2, "lr_psnr": 2, "ms_ssim_y": 4,
    "high_band": 3, "lpips": 4, "dists": 4,
}  # fmt: skip
LOWER_IS_BETTER = frozenset({"niqe", "lpips", "dists"})
NEAREST_TO_ONE = frozenset({"high_band"})


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one picture, or a mean. None: not measured, or not defined without ground truth.

    psnr_y, psnr_rgb: In dB; infinite for equal pictures.
    ssim_y, ssim_rgb: In [-1, 1].
    niqe: Lower is better; needs no ground truth.
    lr_psnr: In dB; needs no ground truth.
    ms_ssim_y: In [0, 1].
    high_band: Spectral energy above the band of LR, relative to HR: 1 is as much as HR has.
    lpips, dists: 0 for equal pictures. The protocol names them: LPIPS and DISTS are so called only with their own
        backbones.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    niqe: float | None = None
    lr_psnr: float | None = None
    ms_ssim_y: float | None = None
    high_band: float | None = None
    lpips: float | None = None
    dists: float | None = None


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """The arithmetic mean of each field, of dB values too, as in papers. Raises ValueError for no scores."""
    if not scores:
        raise ValueError("the mean of no scores is not defined")
    columns = {column.name: [getattr(row, column.name) for row in scores] for column in fields(Scores)}
    return Scores(**{name: _mean(values) for name, values in columns.items()})


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return math.fsum(known) / len(known) if all(map(math.isfinite, known)) else math.inf


def best_of(field: str, values: Sequence[float]) -> float:
    """The best of the values of a field: the highest, of some the lowest, of a ratio that nearest to 1."""
    if field in NEAREST_TO_ONE:
        return min(values, key=lambda value: abs(math.log(max(value, 1e-12))))
    return min(values) if field in LOWER_IS_BETTER else max(values)
