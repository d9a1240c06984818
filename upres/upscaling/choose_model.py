"""Choose the bundled model that fits a picture, from its `upres.inspection` report, with a one-line reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from upres.errors import UsageError

if TYPE_CHECKING:
    from upres.inspection.report import PictureReport

Role = Literal["standard", "photo", "art"]

AUTO = "auto"  # stands for a model: it is chosen for each picture
DEFAULT_FACTOR = 4.0  # without a size

# The model for each role and scale. `standard` enlarges clean pictures faithfully, `photo` removes the damage done by
# cameras, scanners and compression, `art` is for clean drawings. Where a role has no model of its own at a scale, the
# result of a larger one is reduced.
MODELS_BY_ROLE: dict[Role, dict[int, str]] = {
    "standard": {2: "compact-x2", 4: "compact-x4"},
    "photo": {2: "photo-x4", 4: "photo-x4"},
    "art": {2: "compact-x2", 4: "compact-x4"},
}

COMPRESSED_BELOW = 85  # JPEG quality below which blocks become visible when enlarged
NOISY_FROM = 3.5  # luma, levels of 255
SOFT_FROM = 1.35  # true scale


class ModelChoice(NamedTuple):
    """The name of a bundled model, the reason for it, such as "JPEG quality 70, noise 6", and a bundled model that a
    user may prefer.
    """

    name: str
    reason: str
    other: str = ""


def choose_model(report: PictureReport, scale: float) -> ModelChoice:
    """The bundled model for a picture.

    report: What `inspect_picture` found. Unknown properties count as harmless, so the faithful model is the default.
    scale: The enlargement wanted.

    Raises `UsageError` for a scale that is not positive and finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"`scale` must be positive and finite, got {scale}")
    role, reason = choose_role(report)
    of_scale = 2 if scale <= 2 else 4
    other: Role = "standard" if role == "photo" else "photo"
    return ModelChoice(MODELS_BY_ROLE[role][of_scale], reason, MODELS_BY_ROLE[other][of_scale])


def choose_role(report: PictureReport) -> tuple[Role, str]:
    """(role, reason): "photo" for compressed, noisy or soft pictures, "art" for clean drawings, else "standard"."""
    faults = _faults(report)
    if faults:
        return "photo", ", ".join(["drawn", *faults] if report.drawn else faults)
    if report.drawn:
        return "art", "drawn"
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
