"""Which model fits which picture, and the reason that is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from upres.errors import UsageError
from upres.inspection.report import PictureReport
from upres.models.catalog import MODELS
from upres.upscaling.choose_model import MODELS_BY_ROLE, choose_model, choose_role

CLEAN = PictureReport(
    format="png", height=600, width=800, channels=3, alpha=False, depth=8, profile=None, true_scale=1.0,
    true_scale_confidence=0.97, jpeg_quality=None, jpeg_quality_source=None, jpeg_grid_offset=None,
    earlier_jpeg_quality=None, earlier_jpeg_grid_offset=None, noise_sigma_255=(0.5, 0.5, 0.5),
    noise_luma_sigma_255=0.4, blur_sigma_px=0.0, banding=0.0, gray=False, drawn=False,
)  # fmt: skip
UNKNOWN = replace(CLEAN, true_scale=None, noise_sigma_255=None, noise_luma_sigma_255=None, gray=None, drawn=None)


@pytest.mark.parametrize(
    ("changes", "role", "reason"),
    [
        ({}, "standard", "clean"),
        ({"gray": True}, "standard", "gray and clean"),
        ({"jpeg_quality": 92}, "standard", "clean"),
        ({"jpeg_quality": 70, "noise_luma_sigma_255": 6.2}, "photo", "JPEG quality 70, noise 6"),
        ({"noise_luma_sigma_255": 3.4}, "standard", "clean"),
        ({"true_scale": 2.0}, "photo", "soft (looks enlarged 2.0 times)"),
        ({"jpeg_quality": 95, "earlier_jpeg_quality": 40}, "photo", "earlier JPEG quality 40"),
        ({"drawn": True}, "art", "drawn"),
        ({"drawn": True, "jpeg_quality": 60}, "photo", "drawn, JPEG quality 60"),
    ],
)
def test_faults_and_drawings_decide(changes: dict[str, object], role: str, reason: str) -> None:
    assert choose_role(replace(CLEAN, **changes)) == (role, reason)  # type: ignore[arg-type]


def test_what_is_not_known_speaks_against_nothing() -> None:
    assert choose_role(UNKNOWN) == ("standard", "clean")


@pytest.mark.parametrize(("scale", "of_network"), [(1, 2), (1.5, 2), (2, 2), (2.1, 4), (4, 4), (8, 4)])
def test_the_scale_takes_the_network(scale: float, of_network: int) -> None:
    assert choose_model(CLEAN, scale).name == MODELS_BY_ROLE["standard"][of_network]
    assert choose_model(replace(CLEAN, jpeg_quality=50), scale).name == MODELS_BY_ROLE["photo"][of_network]


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_an_invalid_scale_is_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="`scale` must be positive and finite"):
        choose_model(CLEAN, scale)


def test_every_role_has_a_bundled_model_that_reaches_the_scale() -> None:
    for models in MODELS_BY_ROLE.values():
        assert set(models) == {2, 4}
        assert all(MODELS[name].scale >= scale for scale, name in models.items())


def test_another_model_is_named() -> None:
    assert choose_model(CLEAN, 4) == ("compact-x4", "clean", "photo-x4")
    assert choose_model(replace(CLEAN, jpeg_quality=50), 2) == ("photo-x4", "JPEG quality 50", "compact-x2")
