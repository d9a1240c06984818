"""Changes to a `TrainConfig`, by hand or for a trial, and the checks on every value and combination of values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Literal, cast, get_origin, get_type_hints

from upres.errors import UsageError, nearest
from upres.system.structs import convert, unknown
from upres.training.config import TrainConfig
from upres.training.references import is_own, parse_term


def change_config(config: TrainConfig, changes: Iterable[str]) -> TrainConfig:
    """`config` with `key=value` changes, checked. Raises `UsageError`; for an unknown key it names the closest one."""
    kinds = {name: kind for name, kind in get_type_hints(TrainConfig).items() if name not in ("recipe", "source")}
    values: dict[str, Any] = {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise UsageError(f"`changes` takes key=value, got {change!r}")
        if key not in kinds:
            raise UsageError(unknown("setting", key, list(kinds)))
        values[key] = _plain(text, kinds[key])
    config = convert(dataclasses.asdict(config) | values, TrainConfig, "", strict=False)
    check_config(config)
    return config


def _plain(text: str, kind: Any) -> object:
    """A typed value as msgspec expects it: lists split at commas, underscores removed from numbers, yes and no as
    booleans.
    """
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if text.strip()]
    if kind is bool:
        return {"yes": "true", "no": "false"}.get(text.lower(), text.lower())
    if get_origin(kind) is Literal and text.isdecimal():
        return int(text)
    return text.replace("_", "") if kind in (int, float) else text


def shrink_config(config: TrainConfig, shrink: int) -> TrainConfig:
    """The schedule divided by `shrink`, for a trial: steps, warm-up, and the intervals of validations and checkpoints
    (at most 20 of each).

    The weight average must forget faster in proportion, so its decay becomes decay ** shrink (a half-life of 1/shrink).
    """
    if shrink < 1:
        raise UsageError(f"`shrink` must be at least 1, got {shrink}")
    if config.steps // shrink < 1:
        raise UsageError(f"`shrink={shrink}` leaves none of the {config.steps} steps")
    if shrink == 1:
        return config
    steps = config.steps // shrink
    seldom = math.ceil(steps / 20)
    return dataclasses.replace(
        config,
        steps=steps,
        warmup_steps=config.warmup_steps // shrink,
        pixel_steps=config.pixel_steps // shrink,
        validate_every=max(seldom, config.validate_every // shrink),
        checkpoint_every=max(seldom, config.checkpoint_every // shrink),
        ema_decay=config.ema_decay**shrink,
    )


def parse_layers(text: str) -> dict[str, float]:
    """`"conv1_2:0.1,conv5_4:1"` -> {layer: weight}. Raises `UsageError`."""
    layers: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, weight = part.partition(":")
        try:
            layers[name.strip()] = float(weight or 1.0)
        except ValueError as error:
            raise UsageError(f"`feature_layers` takes LAYER:WEIGHT,..., got {text!r}") from error
        if not 0.0 < layers[name.strip()] < math.inf:
            raise UsageError(f"`feature_layers` needs weights above 0, got {part!r}")
    return layers


def check_share(config: TrainConfig, processes: int) -> None:
    """Raises `UsageError` if the batch cannot be divided evenly among `processes` and their micro-batches."""
    if config.batch % (processes * config.accumulate):
        raise UsageError(
            f"`batch` must be a multiple of `processes` times `accumulate`, got {config.batch}, {processes} and "
            f"{config.accumulate}"
        )


_LOSS_WEIGHTS = (
    "pixel_weight", "feature_weight", "gan_weight", "artefact_weight", "frequency_weight", "consistency_weight",
    "lattice_weight", "structure_weight", "wavelet_weight", "color_weight",
)  # fmt: skip
_MIXES = ("mixup", "cutmix", "cutblur")
_LOSSES = ("l1", "charbonnier", "mse")
_CHOICES = {
    "network": ("compact", "residual", "rrdb", "srresnet", "realplksr"),
    "schedule": ("cosine", "multistep", "wsd", "constant"),
    "loss": _LOSSES, "final_loss": _LOSSES, "discriminator": ("vgg", "unet", "attention", "patch"),
}  # fmt: skip
_SCALES = {
    "compact": (1, 2, 3, 4, 8), "residual": (1, 2, 3, 4, 8), "rrdb": (1, 2, 4, 8), "srresnet": (2, 4, 8),
    "realplksr": (1, 2, 3, 4, 8),
}  # fmt: skip


def check_config(config: TrainConfig) -> None:
    """Raises `UsageError` for the first value, or combination of values, that cannot work."""
    convert(dataclasses.asdict(config), TrainConfig, "")
    if config.pixel_steps and not config.pixel_weight:
        raise UsageError("`pixel_steps` needs a `pixel_weight` above 0: these steps have no other loss")
    for key, known in _CHOICES.items():
        value = cast("str", getattr(config, key))
        if value not in known and not is_own(value):
            options = ", ".join(known)
            raise UsageError(f"{key} must be one of {options}, or FILE.py:NAME, got {value!r}{nearest(value, known)}")
    if not any(getattr(config, key) for key in (*_LOSS_WEIGHTS, "own_terms")):
        raise UsageError(
            "all weights of the generator's loss are 0: set `pixel_weight`, `feature_weight` or `gan_weight`"
        )
    if config.network in _SCALES and config.scale not in _SCALES[config.network]:
        raise UsageError(
            f"`scale` of {config.network} must be one of {', '.join(map(str, _SCALES[config.network]))}, got "
            f"{config.scale}"
        )
    if config.network == "residual" and config.depth % 4:
        raise UsageError(
            f"`depth` of residual must be a multiple of 4 (each skip spans four convolutions), got {config.depth}"
        )
    if config.network == "realplksr" and config.width % 4:
        raise UsageError(f"`width` of realplksr must be a multiple of 4, got {config.width}")
    if not 0.0 <= config.final_learning_rate <= config.learning_rate:
        raise UsageError(
            f"`final_learning_rate` must be in [0, learning_rate], got {config.final_learning_rate} and "
            f"{config.learning_rate}"
        )
    if sum(cast("float", getattr(config, key)) for key in _MIXES) > 1.0:
        chances = ", ".join(f"{key} {getattr(config, key):g}" for key in _MIXES)
        raise UsageError(f"the probabilities of mixup, cutmix and cutblur must add up to at most 1, got {chances}")
    if config.reuse > 1 and any(getattr(config, key) for key in _MIXES):
        chances = ", ".join(f"{key}={getattr(config, key):g}" for key in _MIXES)
        mixed = f"`reuse={config.reuse}` cannot be combined with mixup, cutmix or cutblur, got {chances}"
        raise UsageError(f"{mixed}: set `reuse=1`, or these to 0")
    if config.in_memory and (config.degradation or any(getattr(config, key) for key in _MIXES)):
        raise UsageError("`in_memory=true` cannot be combined with degradation, mixup, cutmix or cutblur")
    hr_px = config.patch_px * config.scale
    if config.teacher_color_px and hr_px % config.teacher_color_px:
        raise UsageError(
            f"`teacher_color_px` must divide the side of an HR patch ({hr_px}), got {config.teacher_color_px}"
        )
    if config.batch % config.accumulate:
        raise UsageError(f"`batch` must be a multiple of `accumulate`, got {config.batch} and {config.accumulate}")
    if config.convolutions == "winograd" and (config.compile or config.precision == "bfloat16"):
        raise UsageError("`convolutions=winograd` needs precision=float32 and compile=false")
    _check_sharded(config)
    if config.weight_decay and config.optimizer == "adam":
        raise UsageError(f"`weight_decay` needs optimizer=adamw, adan or schedulefree, got {config.weight_decay:g}")
    if config.optimizer == "schedulefree" and config.schedule != "constant":
        raise UsageError(f"`optimizer=schedulefree` needs schedule=constant, got {config.schedule}")
    if parse_layers(config.feature_layers) and config.feature_distance != "l1":
        raise UsageError(f"`feature_layers` cannot be combined with feature_distance={config.feature_distance}")
    for term in config.own_terms:
        parse_term(term)


def _check_sharded(config: TrainConfig) -> None:
    """What was not tried, or cannot work, where weights are divided among the processes."""
    if not config.sharded:
        return
    for refused, name in (
        (config.network == "srresnet", "network=srresnet, whose batch statistics are not divided"),
        (config.optimizer not in ("adam", "adamw"), f"optimizer={config.optimizer}"),
        (config.compile, "compile=true"),
        (config.convolutions == "winograd", "convolutions=winograd"),
        (config.gradient_checkpointing, "gradient_checkpointing=true"),
        (config.artefact_weight > 0.0, "artefact_weight, whose average runs as a network of its own"),
    ):
        if refused:
            raise UsageError(f"`sharded=true` cannot be combined with {name}")
