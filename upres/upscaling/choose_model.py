"""Choose the bundled model that fits a picture, from its `upres.inspection` report, with a one-line reason."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from upres.errors import UsageError
from upres.inspection.report import PictureReport

Role = Literal["standard", "photo", "art"]

# The model for each role and scale. `standard` enlarges clean pictures faithfully, `photo` removes the damage done by
# cameras, scanners and compression, `art` is for drawings. A role without its own model at a scale uses the nearest
# one.
MODELS_BY_ROLE: dict[Role, dict[int, str]] = {
    "standard": {2: "compact-x2", 4: "compact-x4"},
    "photo": {2: "compact-x2", 4: "photo-x4"},
    "art": {2: "compact-x2", 4: "compact-x4"},
}

COMPRESSED_BELOW = 85  # JPEG quality below which blocks become visible when enlarged
NOISY_FROM = 3.5  # luma, levels of 255
SOFT_FROM = 1.35  # true scale


class ModelChoice(NamedTuple):
    """The name of a bundled model and the reason for it, such as "JPEG quality 70, noise 6"."""

    name: str
    reason: str


def choose_model(report: PictureReport, scale: float) -> ModelChoice:
    """The bundled model for a picture.

    report: What `inspect_picture` found. Unknown properties count as harmless, so the faithful model is the default.
    scale: The enlargement wanted.

    Raises `UsageError` for a scale that is not positive and finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"`scale` must be positive and finite, got {scale}")
    role, reason = choose_role(report)
    return ModelChoice(MODELS_BY_ROLE[role][2 if scale <= 2 else 4], reason)


def choose_role(report: PictureReport) -> tuple[Role, str]:
    """(role, reason): "art" for drawings, "photo" for compressed, noisy or soft pictures, otherwise "standard"."""
    faults = _faults(report)
    if report.drawn:
        return "art", ", ".join(["drawn", *faults])
    if faults:
        return "photo", ", ".join(faults)
    return "standard", "gray and clean" if report.gray else "clean"


def _faults(report: PictureReport) -> list[str]:
    faults: list[str] = []
    if report.jpeg_quality is not None and report.jpeg_quality < COMPRESSED_BELOW:
        faults.append(f"JPEG quality {report.jpeg_quality}")
    if report.earlier_jpeg_quality is not None and report.earlier_jpeg_quality < COMPRESSED_BELOW:
        faults.append(f"earlier JPEG quality {report.earlier_jpeg_quality}")
    if report.noise_luma_sigma_255 is not None and report.noise_luma_sigma_255 >= NOISY_FROM:
        faults.append(f"noise {report.noise_luma_sigma_255:.0f}")
    if report.true_scale is not None and report.true_scale >= SOFT_FROM:
        faults.append(f"soft (looks enlarged {report.true_scale:.1f} times)")
    return faults
