"""`TrainConfig`: every setting that determines a run. Recipes (`recipes.py`) are complete configurations;
`config_changes.py` changes and checks them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, cast

from upres.training.kinds import Below1, Betas, Count, Factors, Fractions, Natural, Norm, PatchSide, Rate, Share, Weight


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
    # weights, gradients and optimizer states divided among the processes (FSDP2) instead of held whole by each (DDP)
    sharded: bool = False

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
    schedule: str = "cosine"  # cosine, multistep, wsd, constant, or one's own
    cycles: Count = 1  # cosine: number of equal cycles, each starting at the full rate
    milestones: Fractions = (0.5, 0.8, 0.9, 0.95)  # multistep: fractions of `steps` at which the rate is halved
    # wsd: the final fraction of the steps, which decays to final_learning_rate; 1: all of it after the warm-up
    decay_fraction: Share = 0.2
    # adan has betas of its own; schedulefree needs schedule=constant, and its average takes the place of the EMA
    optimizer: Literal["adam", "adamw", "adan", "schedulefree"] = "adam"
    betas: Betas = (0.9, 0.99)
    weight_decay: Weight = 0.0  # not for adam: decoupled from the gradient
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
    discriminator: str = "vgg"  # vgg, unet, attention, patch, or one's own
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
    wandb: str = ""  # project of Weights & Biases that gets scalars and crops, too; empty: none

    @property
    def adversarial(self) -> bool:
        """Whether the run trains a discriminator."""
        return self.gan_weight > 0.0


# Settings that may change on resuming: none of them affects the weights.
FREE_FIELDS = ("validate_every", "checkpoint_every", "keep_checkpoints", "judge", "niqe", "source", "workers", "wandb")


def plain_config(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON values: tuples as lists, infinity as "inf"."""
    values = cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(config))))
    return {key: "inf" if value == math.inf else value for key, value in values.items()}
