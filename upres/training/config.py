"""`TrainConfig`: every setting that determines a run, and the checks on it. Recipes (`recipes.py`) are complete
configurations.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_origin, get_type_hints

from upres.errors import UsageError, nearest
from upres.system.structs import convert, unknown
from upres.training.kinds import Below1, Betas, Count, Factors, Fractions, Natural, Norm, PatchSide, Rate, Share, Weight
from upres.training.references import is_own, parse_term


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run.

    Sizes are in LR pixels; a step is one optimizer update of every network; weights are always float32.
    """

    recipe: str
    scale: int
    source: str = ""  # publication the recipe's values come from

    # Generator.
    # compact, residual, rrdb, srresnet, realplksr, or one's own: FILE.py:NAME (docs/own-network.md)
    network: str = "compact"
    width: Count = 32
    # inner convolutions of compact and residual (multiples of 4 in residual), blocks of the others
    depth: Count = 12
    growth: Count = 32  # rrdb: channels added by each convolution of a dense block
    branched: bool = True  # compact, residual: parallel linear branches while training, merged for inference
    # rrdb: store only the blocks' inputs and recompute the rest in the backward pass
    gradient_checkpointing: bool = False

    # Data.
    batch: Count = 8  # samples per update, over all ranks
    accumulate: Count = 1  # micro-batches per update; batch statistics and relativistic means are per micro-batch
    patch_px: PatchSide = 48
    hr_scales: Factors = (1.0, 0.5)  # each HR picture is also used downscaled by these factors
    channels: Literal[0, 1, 3] = 0  # 1: gray, 3: color; 0: as the data
    bits: Literal[0, 8, 16] = 0  # bit depth of stored samples; 0: as the data
    # a recipe of upres/degradation/recipes/ or a TOML file; empty: LR is MATLAB's bicubic, or the paired file
    degradation: str = ""
    # 4: each region is degraded once for the patches of four steps; a third of the work, less variety
    reuse: Literal[1, 4] = 1
    turns: Literal["all", "mirror"] = "all"  # augment with all 8 flips and rotations, or with horizontal flips only
    color_augment: Share = 0.0  # probability of permuting a patch's channels and inverting some
    mixup: Share = 0.0  # mixup, cutmix, cutblur: probability of each; a sample gets at most one
    cutmix: Share = 0.0
    cutblur: Share = 0.0
    # keep stored pairs on the device and crop and flip patches there; draws other samples than the loader
    in_memory: bool = False
    workers: Natural = 0  # threads that draw samples; 0: the prefetch thread alone. Never changes a sample

    # Optimization.
    steps: Count = 40_000
    learning_rate: Rate = 1e-3
    final_learning_rate: float = 1e-6
    warmup_steps: Natural = 500
    schedule: str = "cosine"  # cosine, multistep, wsd, or one's own
    cycles: Count = 1  # cosine: number of equal cycles, each starting at the full rate
    milestones: Fractions = (0.5, 0.8, 0.9, 0.95)  # multistep: fractions of `steps` at which the rate is halved
    # wsd: the final fraction of the steps, which decays to final_learning_rate; 1: all of it after the warm-up
    decay_fraction: Share = 0.2
    optimizer: Literal["adam", "adamw", "adan"] = "adam"  # adan has betas of its own
    betas: Betas = (0.9, 0.99)
    weight_decay: Weight = 0.0  # adamw, adan: decoupled from the gradient
    # of the generator's gradient; inf: off. The median norm of a healthy compact run in stage one is 0.03
    clip_norm: Norm = 0.1
    ema_decay: Below1 = 0.999

    # The generator's loss is a weighted sum; terms of weight 0 are not computed.
    loss: str = "l1"  # l1, charbonnier, mse, or one's own
    final_loss: str = "l1"
    final_fraction: Share = 0.0  # the final fraction of the steps, which uses `final_loss`
    # weight of the teacher's output in the target of the losses, if there is a teacher; the rest is HR
    teacher_share: Share = 1.0
    # HR pixels: over areas of this side the teacher's mean colors are replaced by HR's; 0: kept
    teacher_color_px: Natural = 0
    teacher_ramp_steps: Natural = 0  # steps over which that weight falls to 0; 0: constant
    pixel_weight: Weight = 1.0
    pixel_steps: Natural = 0  # initial steps of an adversarial run with the pixel loss alone
    feature_weight: Weight = 0.0
    features: str = "vgg19"  # of upres/training/losses/feature_files.py
    # at its layers, or the published measure, whose layers and weights are its own (lpips: vgg16,
    # squeezenet1_1-torchvision; dists: vgg16)
    feature_distance: Literal["l1", "lpips", "dists"] = "l1"
    features_otherwise: str = ""  # fallback, reported, if `features` is unavailable; with its own layers and weights
    feature_layers: str = ""  # "conv1_2:0.1,conv5_4:1"; empty: the network's default layers
    gan_weight: Weight = 0.0  # above 0: stage two, with a discriminator
    gan_loss: Literal["relativistic", "standard", "least_squares", "hinge"] = "relativistic"
    artefact_weight: Weight = 0.0  # LDL
    frequency_weight: Weight = 0.0
    consistency_weight: Weight = 0.0  # the downscaled output should equal the LR picture
    lattice_weight: Weight = 0.0  # penalizes patterns with the period of the LR pixel grid
    structure_weight: Weight = 0.0  # 1 - MS-SSIM, over as many scales as fit into a patch
    wavelet_weight: Weight = 0.0  # L1 of the details of two Haar levels
    color_weight: Weight = 0.0  # L1 of colors blurred over some LR pixels
    own_terms: tuple[str, ...] = ()  # further terms of one's own: FILE.py:NAME:WEIGHT

    # The discriminator.
    discriminator: str = "vgg"  # vgg, unet, patch, or one's own
    discriminator_width: Count = 64
    discriminator_learning_rate: Rate = 1e-4  # follows the same schedule
    discriminator_clip_norm: Norm = math.inf
    r1_weight: Weight = 0.0
    gradient_penalty_weight: Weight = 0.0

    # Machine.
    # of convolutions in training; auto: bfloat16 where the processor supports it natively
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    channels_last: bool = True
    convolutions: Literal["auto", "winograd", "torch"] = "auto"  # winograd: on a CPU, in float32; needs a C++ compiler
    fused: bool = True  # one kernel for the whole Adam step
    compile: bool = False  # torch.compile of generator and discriminator: needs a C++ compiler on CPUs
    threads: Natural = 0  # 0: all cores, divided among the processes
    seed: Natural = 0

    # Validation and checkpoints.
    validate_every: Count = 1000
    checkpoint_every: Count = 1000
    keep_checkpoints: Count = 3
    judge: str = ""  # feature network, other than the loss's, whose distance every validation measures; empty: none
    niqe: bool = False  # NIQE at every validation

    @property
    def adversarial(self) -> bool:
        """Whether the run trains a discriminator."""
        return self.gan_weight > 0.0


# Settings that may change on resuming: none of them affects the weights.
FREE_FIELDS = ("validate_every", "checkpoint_every", "keep_checkpoints", "judge", "niqe", "source", "workers")


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON values: tuples as lists, infinity as "inf"."""
    values = cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(config))))
    return {key: "inf" if value == math.inf else value for key, value in values.items()}


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
    "network": ("compact", "residual", "rrdb", "srresnet", "realplksr"), "schedule": ("cosine", "multistep", "wsd"),
    "loss": _LOSSES, "final_loss": _LOSSES, "discriminator": ("vgg", "unet", "patch"),
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
    if config.weight_decay and config.optimizer == "adam":
        raise UsageError(f"`weight_decay` needs optimizer=adamw or adan, got {config.weight_decay:g}")
    if parse_layers(config.feature_layers) and config.feature_distance != "l1":
        raise UsageError(f"`feature_layers` cannot be combined with feature_distance={config.feature_distance}")
    for term in config.own_terms:
        parse_term(term)
