"""Recipes: functions that return a whole configuration. `--set key=value` changes one field; what ran is written beside the run."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from upres.errors import UsageError


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run. Sizes are pixels of the LR patch; a step is one optimizer update."""

    recipe: str
    scale: int
    width: int = 32
    depth: int = 12  # inner convolutions
    branched: bool = True  # parallel linear branches, merged for use
    steps: int = 40_000
    batch: int = 8
    patch_px: int = 48  # of the LR patch
    hr_scales: tuple[float, ...] = (1.0, 0.5)  # each HR picture is also used reduced by these factors
    color_augment: float = 0.0  # chance that the channels of a patch are permuted and some inverted: edges of pure colour
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 500
    clip_norm: float = 0.1  # of the gradient; its median in a healthy run is 0.03
    schedule: Literal["cosine", "multistep"] = "cosine"
    milestones: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)  # fractions of `steps` at which multistep halves the rate
    betas: tuple[float, float] = (0.9, 0.99)
    loss: Literal["l1", "charbonnier", "mse"] = "l1"
    final_loss: Literal["l1", "charbonnier", "mse"] = "l1"
    final_fraction: float = 0.0  # this last part of the steps uses `final_loss`
    ema_decay: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"  # of the convolutions in training; weights are always float32
    seed: int = 0
    threads: int = 0  # 0: all cores
    validate_every: int = 1000
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3


def compact_x4() -> TrainConfig:
    """The house model `compact-x4`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x4", scale=4)


def compact_x2() -> TrainConfig:
    """The house model `compact-x2`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x2", scale=2, steps=26_000)


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "compact-x2": compact_x2,
    "compact-x4": compact_x4,
}


def resolve_recipe(name: str, changes: Iterable[str] = ()) -> TrainConfig:
    """The configuration of recipe `name` with `key=value` changes; unknown names and keys are refused with the nearest one."""
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}{_nearest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    config = RECIPES[name]()
    fields = {field.name: field for field in dataclasses.fields(config)}
    values: dict[str, Any] = {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise UsageError(f"--set takes key=value, got {change!r}")
        if key not in fields or key == "recipe":
            raise UsageError(f"unknown setting {key!r}{_nearest(key, fields)}; there are {', '.join(k for k in fields if k != 'recipe')}")
        values[key] = _parse(key, text, getattr(config, key))
    config = dataclasses.replace(config, **values)
    check_config(config)
    return config


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _parse(key: str, text: str, like: object) -> object:
    """`text` as the type of the present value `like`."""
    try:
        if isinstance(like, bool):
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if isinstance(like, int):
            return int(text)
        if isinstance(like, float):
            return float(text)
        if isinstance(like, tuple):
            return tuple(float(part) for part in text.split(","))
    except (ValueError, KeyError) as error:
        raise UsageError(f"--set {key}={text}: expected a value like {like!r}") from error
    return text


def check_config(config: TrainConfig) -> None:
    """Refuses values that cannot work, each by name, before the first step."""
    positive = ("width", "depth", "steps", "batch", "validate_every", "checkpoint_every", "keep_checkpoints")
    for key in positive:
        if getattr(config, key) < 1:
            raise UsageError(f"{key} must be at least 1, got {getattr(config, key)}")
    if config.scale not in (1, 2, 3, 4, 8):
        raise UsageError(f"scale must be 1, 2, 3, 4 or 8, got {config.scale}")
    if not config.clip_norm > 0.0:
        raise UsageError(f"clip_norm must be above 0 (inf switches clipping off), got {config.clip_norm}")
    if config.patch_px < 8:
        raise UsageError(f"patch_px must be at least 8, got {config.patch_px}")
    if not 0.0 < config.learning_rate < 1.0 or not 0.0 <= config.final_learning_rate <= config.learning_rate:
        raise UsageError(
            "learning_rate must lie between 0 and 1 and be at least final_learning_rate, "
            f"got {config.learning_rate} and {config.final_learning_rate}"
        )
    if not 0.0 <= config.color_augment <= 1.0:
        raise UsageError(f"color_augment must lie in [0, 1], got {config.color_augment}")
    if not 0.0 <= config.final_fraction <= 1.0 or not 0.0 <= config.ema_decay < 1.0:
        raise UsageError(f"final_fraction and ema_decay must lie in [0, 1), got {config.final_fraction} and {config.ema_decay}")
    if len(config.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in config.betas):
        raise UsageError(f"betas must be two numbers in [0, 1), got {config.betas}")
    if not config.hr_scales or not all(0.0 < s <= 1.0 for s in config.hr_scales):
        raise UsageError(f"hr_scales must lie in (0, 1], got {config.hr_scales}")
    choices = {
        "schedule": ("cosine", "multistep"),
        "loss": ("l1", "charbonnier", "mse"),
        "final_loss": ("l1", "charbonnier", "mse"),
        "precision": ("float32", "bfloat16"),
    }
    for key, allowed in choices.items():
        if cast("str", getattr(config, key)) not in allowed:
            raise UsageError(f"{key} must be one of {', '.join(allowed)}, got {getattr(config, key)!r}")
