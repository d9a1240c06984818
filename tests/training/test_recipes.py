from __future__ import annotations

import dataclasses

import pytest

from upres.errors import UsageError
from upres.training.recipes import RECIPES, resolve_recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_resolves_and_names_itself(name: str) -> None:
    assert resolve_recipe(name).recipe == name


def test_set_parses_by_type() -> None:
    config = resolve_recipe("compact-x4", ["steps=50", "learning_rate=2e-4", "branched=false", "hr_scales=1,0.5", "loss=charbonnier"])
    assert (config.steps, config.learning_rate, config.branched) == (50, 2e-4, False)
    assert (config.hr_scales, config.loss) == ((1.0, 0.5), "charbonnier")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["step=50"], "did you mean 'steps'"),
        (["steps"], "key=value"),
        (["steps=many"], "expected a value like"),
        (["branched=maybe"], "expected a value like"),
        (["steps=0"], "steps must be at least 1"),
        (["loss=l2"], "loss must be one of"),
        (["learning_rate=-1"], "learning_rate must lie"),
        (["learning_rate=nan"], "learning_rate must lie"),
        (["hr_scales=0"], "hr_scales must lie"),
        (["color_augment=2"], "color_augment must lie"),
        (["patch_px=2"], "patch_px must be at least"),
        (["recipe=other"], "unknown setting"),
    ],
)
def test_bad_settings_are_refused_by_name(changes: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve_recipe("compact-x4", changes)


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact-x4'"):
        resolve_recipe("compact-x44")


def test_configurations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolve_recipe("compact-x4").steps = 1  # type: ignore[misc]
