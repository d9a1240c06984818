"""Everything that decides a run, in one frozen value, with what it refuses. Recipes (`recipes.py`) are whole values of it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast

from upres.errors import UsageError, nearest

PIXEL_LOSSES = ("l1", "charbonnier", "mse")


@dataclass(frozen=True)
class TrainConfig:
    """Sizes are pixels of the LR patch; a step is one optimizer update of every network; weights are always float32."""

    recipe: str
    scale: int
    source: str = ""  # where the recipe's figures were published

    # The generator. depth: inner convolutions of compact and residual (by fours), RRDB's blocks, SRResNet's residual blocks.
    network: Literal["compact", "residual", "rrdb", "srresnet"] = "compact"
    width: int = 32
    depth: int = 12
    growth: int = 32  # rrdb: channels that each convolution of a dense block adds
    branched: bool = True  # compact, residual: parallel linear branches, merged for use
    gradient_checkpointing: bool = False  # rrdb: keep only the blocks' inputs, at the price of a second forward pass

    # Data.
    batch: int = 8  # samples of one update, over all ranks
    accumulate: int = 1  # a batch is worked off in this many parts; batch statistics and relativistic means are then those of a part
    patch_px: int = 48
    hr_scales: tuple[float, ...] = (1.0, 0.5)  # each HR picture is also used reduced by these factors
    channels: int = 0  # 1: gray, 3: color; 0: as the data
    bits: int = 0  # of a stored level, 8 or 16; 0: as the data
    degradation: str = ""  # a recipe of upres/degradation/recipes/ or a TOML file; empty: LR is HR reduced as by MATLAB, or the paired file
    reuse: int = 1  # 4: a region is degraded once for the patches of four steps; draws in a third of the time, alike for as long
    turns: Literal["all", "mirror"] = "all"  # a sample is flipped and transposed in 8 ways, or mirrored left to right only
    color_augment: float = 0.0  # chance that the channels of a patch are permuted and some inverted: edges of pure color
    mixup: float = 0.0  # chances that a sample is mixed with another, gets a rectangle of it, or has a rectangle that is not degraded
    cutmix: float = 0.0
    cutblur: float = 0.0
    workers: int = 0  # threads that draw samples; 0: the one that runs ahead of the step. Never changes a sample

    # Optimization.
    steps: int = 40_000
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: int = 500
    schedule: Literal["cosine", "multistep", "wsd"] = "cosine"
    cycles: int = 1  # cosine: this many equal cycles, each from the full rate down
    milestones: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)  # fractions of `steps` at which multistep halves the rate
    decay_fraction: float = 0.2  # wsd: this last part of the steps goes down to final_learning_rate; 1: all of it, behind the warm-up
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 0.1  # of the generator's gradient; inf: never. Its median in a healthy stage one of compact is 0.03
    ema_decay: float = 0.999

    # The generator's loss is a weighted sum; terms of weight 0 are not computed.
    loss: Literal["l1", "charbonnier", "mse"] = "l1"
    final_loss: Literal["l1", "charbonnier", "mse"] = "l1"
    final_fraction: float = 0.0  # this last part of the steps uses `final_loss`
    pixel_weight: float = 1.0
    pixel_steps: int = 0  # the first so many steps of an adversarial run have the pixel loss alone
    feature_weight: float = 0.0
    features: str = "vgg19"  # of upres/training/losses/feature_files.py
    features_otherwise: str = ""  # used, with a word, where `features` cannot be had; its own layers and weights
    feature_layers: str = ""  # "conv1_2:0.1,conv5_4:1"; empty: the layers of the network's card
    gan_weight: float = 0.0  # above 0: stage two, with a discriminator
    gan_loss: Literal["relativistic", "standard", "least_squares", "hinge"] = "relativistic"
    artefact_weight: float = 0.0  # LDL
    frequency_weight: float = 0.0
    consistency_weight: float = 0.0  # the result, reduced again, should be the LR picture
    lattice_weight: float = 0.0  # nothing should repeat with the period of the LR pixels

    # The discriminator.
    discriminator: Literal["vgg", "unet", "patch"] = "vgg"
    discriminator_width: int = 64
    discriminator_learning_rate: float = 1e-4  # follows the same schedule
    discriminator_clip_norm: float = math.inf
    r1_weight: float = 0.0
    gradient_penalty_weight: float = 0.0

    # The machine. precision: of convolutions in training.
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = True
    convolutions: Literal["auto", "winograd", "torch"] = "auto"  # on a CPU in float32: fewer products, where a C++ compiler is there
    fused: bool = True  # one kernel for the whole Adam step
    compile: bool = False  # torch.compile of generator and discriminator: needs a C++ compiler on CPUs
    threads: int = 0  # 0: all cores, divided among the processes
    seed: int = 0

    # Watching and saving.
    validate_every: int = 1000
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    judge: str = ""  # a feature network that is not the loss: its distance is measured at every validation; empty: none
    niqe: bool = False  # NIQE at every validation

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator is trained."""
        return self.gan_weight > 0.0


# These may change between a run and its resumption: none touches the weights.
FREE_FIELDS = ("validate_every", "checkpoint_every", "keep_checkpoints", "judge", "niqe", "source", "workers")


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """For files: tuples as lists, and infinity, which JSON has not, as "inf"."""
    values = cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(config))))
    return {key: "inf" if value == math.inf else value for key, value in values.items()}


def change_config(config: TrainConfig, changes: Iterable[str]) -> TrainConfig:
    """`config` with `key=value` changes, checked; an unknown key is refused with the nearest one (`UsageError`)."""
    fields = [field.name for field in dataclasses.fields(config) if field.name not in ("recipe", "source")]
    values: dict[str, Any] = {}
    for change in changes:
        key, separator, text = change.partition("=")
        if not separator:
            raise UsageError(f"--set takes key=value, got {change!r}")
        if key not in fields:
            raise UsageError(f"unknown setting {key!r}{nearest(key, fields)}; there are {', '.join(fields)}")
        values[key] = _parse(key, text, getattr(config, key))
    config = dataclasses.replace(config, **values)
    check_config(config)
    return config


def shrink_config(config: TrainConfig, shrink: int) -> TrainConfig:
    """The whole schedule divided by `shrink`, for a trial: steps, warm-up, and how often is validated and saved (20 times at most).

    The average of the weights must forget as much earlier, so its decay becomes decay ** shrink (a half-life of 1/shrink).
    """
    if shrink < 1:
        raise UsageError(f"--shrink must be at least 1, got {shrink}")
    if config.steps // shrink < 1:
        raise UsageError(f"--shrink {shrink} leaves nothing of {config.steps} steps")
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
            raise UsageError(f"feature_layers expects LAYER:WEIGHT,..., got {text!r}") from error
        if not 0.0 < layers[name.strip()] < math.inf:
            raise UsageError(f"feature_layers expects weights above 0, got {part!r}")
    return layers


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


def check_share(config: TrainConfig, processes: int) -> None:
    """Raises `UsageError` where the batch cannot be divided among `processes` and their parts."""
    if config.batch % (processes * config.accumulate):
        raise UsageError(f"batch {config.batch} cannot be shared by {processes} processes in {config.accumulate} parts: change --set batch")


_AT_LEAST_ONE = (
    "width", "depth", "growth", "steps", "batch", "accumulate", "cycles", "discriminator_width", "validate_every", "checkpoint_every",
    "keep_checkpoints",
)  # fmt: skip
_WEIGHTS = (
    "pixel_weight", "feature_weight", "gan_weight", "artefact_weight", "frequency_weight", "consistency_weight",
    "lattice_weight", "r1_weight", "gradient_penalty_weight",
)  # fmt: skip
_MIXES = ("mixup", "cutmix", "cutblur")
_CHOICES: dict[str, tuple[str, ...]] = {
    "network": ("compact", "residual", "rrdb", "srresnet"),
    "schedule": ("cosine", "multistep", "wsd"),
    "loss": PIXEL_LOSSES,
    "final_loss": PIXEL_LOSSES,
    "precision": ("float32", "bfloat16"),
    "gan_loss": ("relativistic", "standard", "least_squares", "hinge"),
    "discriminator": ("vgg", "unet", "patch"),
    "turns": ("all", "mirror"),
    "convolutions": ("auto", "winograd", "torch"),
}
_SCALES = {"compact": (1, 2, 3, 4, 8), "residual": (1, 2, 3, 4, 8), "rrdb": (1, 2, 4, 8), "srresnet": (2, 4, 8)}


def check_config(config: TrainConfig) -> None:
    """Refuses values that cannot work, each by name, before the first step (`UsageError`)."""
    for key, allowed in _CHOICES.items():
        if cast("str", getattr(config, key)) not in allowed:
            raise UsageError(f"{key} must be one of {', '.join(allowed)}, got {getattr(config, key)!r}")
    for key in _AT_LEAST_ONE:
        if getattr(config, key) < 1:
            raise UsageError(f"{key} must be at least 1, got {getattr(config, key)}")
    for key in _WEIGHTS:
        if not 0.0 <= getattr(config, key) < math.inf:
            raise UsageError(f"{key} must be 0 or more, got {getattr(config, key)}")
    if config.pixel_steps and not config.pixel_weight:
        raise UsageError("pixel_steps needs a pixel_weight above 0: these steps have no other loss")
    if not any(getattr(config, key) for key in _WEIGHTS[:7]):
        raise UsageError("every weight of the generator's loss is 0: give pixel_weight, feature_weight or gan_weight a value")
    if config.scale not in _SCALES[config.network]:
        raise UsageError(f"scale of {config.network} must be one of {', '.join(map(str, _SCALES[config.network]))}, got {config.scale}")
    if config.network == "residual" and config.depth % 4:
        raise UsageError(f"depth of residual must be a multiple of 4 (a skip passes over four convolutions), got {config.depth}")
    for key in ("clip_norm", "discriminator_clip_norm"):
        if not getattr(config, key) > 0.0:
            raise UsageError(f"{key} must be above 0 (inf switches clipping off), got {getattr(config, key)}")
    if config.patch_px < 8:
        raise UsageError(f"patch_px must be at least 8, got {config.patch_px}")
    if not 0.0 < config.learning_rate < 1.0 or not 0.0 <= config.final_learning_rate <= config.learning_rate:
        raise UsageError(
            "learning_rate must lie between 0 and 1 and be at least final_learning_rate, "
            f"got {config.learning_rate} and {config.final_learning_rate}"
        )
    if not 0.0 < config.discriminator_learning_rate < 1.0:
        raise UsageError(f"discriminator_learning_rate must lie between 0 and 1, got {config.discriminator_learning_rate}")
    for key in ("warmup_steps", "pixel_steps", "threads", "seed", "workers"):
        if getattr(config, key) < 0:
            raise UsageError(f"{key} must be 0 or more, got {getattr(config, key)}")
    for key in ("color_augment", *_MIXES):
        if not 0.0 <= getattr(config, key) <= 1.0:
            raise UsageError(f"{key} is a chance in [0, 1], got {getattr(config, key)}")
    if sum(cast("float", getattr(config, key)) for key in _MIXES) > 1.0:
        chances = ", ".join(f"{key} {getattr(config, key):g}" for key in _MIXES)
        raise UsageError(f"the chances of mixing are those of one draw and must add up to at most 1, got {chances}")
    if config.reuse not in (1, 4):
        raise UsageError(f"reuse must be 1 or 4, got {config.reuse}")
    if config.reuse > 1 and any(getattr(config, key) for key in _MIXES):
        chances = ", ".join(f"{key}={getattr(config, key):g}" for key in _MIXES)
        mixed = f"reuse={config.reuse} cannot be combined with mixup, cutmix or cutblur, got {chances}"
        raise UsageError(f"{mixed}: set reuse=1, or these to 0")
    if config.channels not in (0, 1, 3) or config.bits not in (0, 8, 16):
        raise UsageError(f"channels must be 1 or 3 and bits 8 or 16 (0: as the data), got {config.channels} and {config.bits}")
    if not 0.0 <= config.final_fraction <= 1.0 or not 0.0 <= config.ema_decay < 1.0:
        raise UsageError(f"final_fraction and ema_decay must lie in [0, 1), got {config.final_fraction} and {config.ema_decay}")
    if len(config.betas) != 2 or not all(0.0 <= beta < 1.0 for beta in config.betas):
        raise UsageError(f"betas must be two numbers in [0, 1), got {config.betas}")
    if not config.hr_scales or not all(0.0 < s <= 1.0 for s in config.hr_scales):
        raise UsageError(f"hr_scales must lie in (0, 1], got {config.hr_scales}")
    if not 0.0 <= config.decay_fraction <= 1.0:
        raise UsageError(f"decay_fraction must be in [0, 1], got {config.decay_fraction}")
    if not all(0.0 < m < 1.0 for m in config.milestones):
        raise UsageError(f"milestones are fractions of the steps in (0, 1), got {config.milestones}")
    if config.batch % config.accumulate:
        raise UsageError(f"batch must be a multiple of accumulate, got {config.batch} and {config.accumulate}")
    if config.convolutions == "winograd" and (config.compile or config.precision != "float32"):
        raise UsageError("convolutions=winograd goes with precision=float32 and compile=false")
    parse_layers(config.feature_layers)
