"""Which bundled model fits a picture, by what `upres.inspection` says of it, and the reason in one line."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from upres.errors import UsageError
from upres.inspection.report import PictureReport

Role = Literal["standard", "photo", "art"]

# What fills each role, by the scale of the network. `standard` enlarges clean pictures faithfully, `photo` repairs what
# cameras, scanners and compression did, `art` is for drawn pictures. Until a role has a network of its own at a scale,
# the one that comes nearest stands there.
MODELS_BY_ROLE: dict[Role, dict[int, str]] = {
    "standard": {2: "compact-x2", 4: "compact-x4"},
    "photo": {2: "compact-x2", 4: "photo-x4"},
    "art": {2: "compact-x2", 4: "compact-x4"},
}

COMPRESSED_BELOW = 85  # quality of JPEG from which its blocks show once they are enlarged
NOISY_FROM = 3.5  # luma, levels of 255
SOFT_FROM = 1.35  # true scale


class ModelChoice(NamedTuple):
    """The name of a bundled model, and why it was taken, as in "JPEG of quality 70, noise 6"."""

    name: str
    reason: str


def choose_model(report: PictureReport, scale: float) -> ModelChoice:
    """The bundled model that fits a picture, for an enlargement by `scale`.

    What cannot be told of the picture counts as harmless: the faithful model is the default, and only what was seen
    speaks against it. Raises `UsageError` for a scale that is not positive and finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise UsageError(f"scale must be positive and finite, got {scale}")
    role, reason = choose_role(report)
    return ModelChoice(MODELS_BY_ROLE[role][2 if scale <= 2 else 4], reason)


def choose_role(report: PictureReport) -> tuple[Role, str]:
    """(the kind of model that fits, why): "art" for what is drawn, "photo" for what is compressed, noisy or soft, else
    "standard".
    """
    faults = _faults(report)
    if report.drawn:
        return "art", ", ".join(["drawn", *faults])
    if faults:
        return "photo", ", ".join(faults)
    return "standard", "gray and clean" if report.gray else "clean"


def _faults(report: PictureReport) -> list[str]:
    faults: list[str] = []
    if report.jpeg_quality is not None and report.jpeg_quality < COMPRESSED_BELOW:
        faults.append(f"JPEG of quality {report.jpeg_quality}")
    if report.earlier_jpeg_quality is not None and report.earlier_jpeg_quality < COMPRESSED_BELOW:
        faults.append(f"compressed before at quality {report.earlier_jpeg_quality}")
    if report.noise_luma_sigma_255 is not None and report.noise_luma_sigma_255 >= NOISY_FROM:
        faults.append(f"noise {report.noise_luma_sigma_255:.0f}")
    if report.true_scale is not None and report.true_scale >= SOFT_FROM:
        faults.append(f"soft ({report.true_scale:.1f} times larger than what it shows)")
    return faults
