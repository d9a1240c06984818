"""Recipes: functions that return a whole configuration. `--set key=value` changes one field; what ran is written beside the run.

| recipe | published in |
|---|---|
| esrgan-psnr-x4, esrgan-x4 | Wang et al., "ESRGAN", ECCVW 2018, section 4.1; Adam and schedule of stage one: BasicSR's options |
| srresnet-x4 | Ledig et al., "SRGAN", CVPR 2017, section 3.2 |
| compact-gan-x4 | ESRGAN's terms, the discriminator of Wang et al., "pix2pixHD", CVPR 2018, section 3.2, made narrow; docs/training.md |

A recipe for x2 is the twin of the one for x4: the same HR patch, RRDB behind a pixel-unshuffle by 2 as in Real-ESRGAN.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

from upres.errors import UsageError
from upres.training.config import TrainConfig, change_config, nearest, shrink_config

_ESRGAN = "Wang et al., ESRGAN, ECCVW 2018 (arXiv:1809.00219), section 4.1"
_BASICSR = f"{_ESRGAN}; Adam and cosine cycles of BasicSR's training options"


def compact_x4() -> TrainConfig:
    """The house model `compact-x4`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x4", scale=4, source="docs/training.md")


def compact_x2() -> TrainConfig:
    """The house model `compact-x2`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x2", scale=2, steps=26_000, source="docs/training.md")


def esrgan_psnr_x4() -> TrainConfig:
    """Stage one of ESRGAN: RRDB with 23 blocks on L1."""
    return TrainConfig(
        recipe="esrgan-psnr-x4", source=_BASICSR, scale=4, network="rrdb", width=64, depth=23, growth=32,
        batch=16, patch_px=32, hr_scales=(1.0,),
        steps=1_000_000, learning_rate=2e-4, final_learning_rate=1e-7, warmup_steps=0, cycles=4, betas=(0.9, 0.99), clip_norm=math.inf,
        validate_every=5000, checkpoint_every=5000,
    )  # fmt: skip


def esrgan_psnr_x2() -> TrainConfig:
    """Stage one of ESRGAN for x2."""
    return dataclasses.replace(esrgan_psnr_x4(), recipe="esrgan-psnr-x2", scale=2, patch_px=64)


def esrgan_x4() -> TrainConfig:
    """Stage two of ESRGAN, from stage one's network: 1e-2 L1 + VGG-19 conv5_4 before activation + 5e-3 relativistic average GAN."""
    return dataclasses.replace(
        esrgan_psnr_x4(), recipe="esrgan-x4", source=_ESRGAN,
        steps=400_000, learning_rate=1e-4, final_learning_rate=0.0, schedule="multistep", milestones=(0.125, 0.25, 0.5, 0.75), cycles=1,
        pixel_weight=1e-2, feature_weight=1.0, features="vgg19", features_otherwise="vgg19-conv3_1", gan_weight=5e-3,
        gan_loss="relativistic", discriminator="vgg", discriminator_width=64, discriminator_learning_rate=1e-4,
        judge="squeezenet1_1-torchvision", niqe=True,
    )  # fmt: skip


def esrgan_x2() -> TrainConfig:
    """Stage two of ESRGAN for x2."""
    return dataclasses.replace(esrgan_x4(), recipe="esrgan-x2", scale=2, patch_px=64)


def srresnet_x4() -> TrainConfig:
    """The baseline with batch normalisation: SRResNet with 16 residual blocks on the mean squared error."""
    return TrainConfig(
        recipe="srresnet-x4", source="Ledig et al., SRGAN, CVPR 2017 (arXiv:1609.04802), section 3.2",
        scale=4, network="srresnet", width=64, depth=16, batch=16, patch_px=24, hr_scales=(1.0,),
        steps=1_000_000, learning_rate=1e-4, final_learning_rate=0.0, warmup_steps=0, schedule="multistep", milestones=(),
        betas=(0.9, 0.999), clip_norm=math.inf, loss="mse", final_loss="mse", validate_every=5000, checkpoint_every=5000,
    )  # fmt: skip


def compact_gan_x4() -> TrainConfig:
    """A GAN for a CPU: the house network, a narrow multi-scale PatchGAN, and two terms that keep the LR picture and checkerboards away."""
    return TrainConfig(
        recipe="compact-gan-x4", source="docs/training.md; terms of ESRGAN, discriminator of pix2pixHD (arXiv:1711.11585, section 3.2)",
        scale=4, batch=8, patch_px=24, steps=1500,
        learning_rate=2e-4, final_learning_rate=1e-6, warmup_steps=50, clip_norm=1.0,
        pixel_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1", gan_weight=0.25, gan_loss="relativistic",
        consistency_weight=2.0, lattice_weight=4.0, discriminator="patch", discriminator_width=32, discriminator_learning_rate=5e-4,
        validate_every=250, checkpoint_every=250, judge="squeezenet1_1-torchvision", niqe=True,
    )  # fmt: skip


def compact_gan_x2() -> TrainConfig:
    """The twin of `compact-gan-x4` for x2."""
    return dataclasses.replace(compact_gan_x4(), recipe="compact-gan-x2", scale=2, patch_px=48)


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "compact-x2": compact_x2,
    "compact-x4": compact_x4,
    "compact-gan-x2": compact_gan_x2,
    "compact-gan-x4": compact_gan_x4,
    "esrgan-psnr-x2": esrgan_psnr_x2,
    "esrgan-psnr-x4": esrgan_psnr_x4,
    "esrgan-x2": esrgan_x2,
    "esrgan-x4": esrgan_x4,
    "srresnet-x4": srresnet_x4,
}


def resolve_recipe(name: str, changes: Iterable[str] = (), shrink: int = 1) -> TrainConfig:
    """The configuration of recipe `name`, its schedule divided by `shrink`, then with `key=value` changes.

    Unknown names and keys are refused with the nearest one (`UsageError`).
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}{nearest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return change_config(shrink_config(RECIPES[name](), shrink), changes)
