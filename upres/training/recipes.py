"""Recipes: functions that return a whole configuration. `--set key=value` changes one field; the resolved configuration
is written to the run's folder.

| recipe | published in |
|---|---|
| esrgan-psnr-x4, esrgan-x4 | Wang et al., "ESRGAN", ECCVW 2018, section 4.1; stage one's Adam and schedule: BasicSR |
| srresnet-x4 | Ledig et al., "SRGAN", CVPR 2017, section 3.2 |
| compact-gan-x4 | ESRGAN's losses, a narrow discriminator of Wang et al., "pix2pixHD", CVPR 2018, section 3.2 |
| real-esrnet-x4, real-esrgan-x4 | Wang et al., "Real-ESRGAN", ICCVW 2021, section 4.1; the options published with it |
| bsrgan-x4 | Zhang et al., "BSRGAN", ICCV 2021, section 4; the options published with KAIR |
| compact-wild-x4 | compact-gan-x4 on degraded pictures; docs/training.md |
| standard-x4, photo-x4 | ours: docs/training.md |

A recipe for x2 is the twin of the one for x4: the same HR patch, RRDB behind a pixel-unshuffle by 2 as in Real-ESRGAN.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

from upres.errors import UsageError, nearest
from upres.training.config import TrainConfig
from upres.training.config_changes import change_config, shrink_config

_ESRGAN = "Wang et al., ESRGAN, ECCVW 2018 (arXiv:1809.00219), section 4.1"
_BASICSR = f"{_ESRGAN}; Adam and cosine cycles of BasicSR's training options"


def compact_x4() -> TrainConfig:
    """The bundled model `compact-x4`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x4", scale=4, source="docs/training.md")


def compact_x2() -> TrainConfig:
    """The bundled model `compact-x2`: SRVGGNetCompact 32x12."""
    return TrainConfig(recipe="compact-x2", scale=2, steps=26_000, source="docs/training.md")


def standard_x4() -> TrainConfig:
    """A residual network of 64 channels and 16 convolutions (624 K parameters) on clean pictures.

    Its learning rate stays constant, so the run can be stopped at any time; a second run with `--init
    RUN/model.safetensors --set decay_fraction=1 --set steps=N` decays the rate and gives the network to ship.

    Plain convolutions: with branches, which multiply the effective rate, a rate of 7e-4 left the network at bicubic
    interpolation for 1,000 steps (docs/log.md).
    """
    return TrainConfig(
        recipe="standard-x4", source="docs/training.md", scale=4, network="residual", width=64, depth=16,
        branched=False, batch=8, patch_px=48, in_memory=True, precision="auto", steps=1_000_000, learning_rate=4e-4,
        final_learning_rate=1e-6, warmup_steps=200, schedule="wsd", validate_every=500, checkpoint_every=500,
    )  # fmt: skip


def standard_x2() -> TrainConfig:
    """The twin of `standard-x4` for x2."""
    return _twin_x2(standard_x4())


def photo_x4() -> TrainConfig:
    """`standard-x4`'s network on photographs degraded as by phones, scanners and the web; meant for a `--teacher`."""
    return dataclasses.replace(standard_x4(), recipe="photo-x4", degradation="real-esrgan", reuse=4, in_memory=False)


def photo_x2() -> TrainConfig:
    """The twin of `photo-x4` for x2."""
    return _twin_x2(photo_x4())


def esrgan_psnr_x4() -> TrainConfig:
    """Stage one of ESRGAN: RRDB with 23 blocks on L1."""
    return TrainConfig(
        recipe="esrgan-psnr-x4", source=_BASICSR, scale=4, network="rrdb", width=64, depth=23, growth=32,
        batch=16, patch_px=32, hr_scales=(1.0,),
        steps=1_000_000, learning_rate=2e-4, final_learning_rate=1e-7, warmup_steps=0, cycles=4, betas=(0.9, 0.99),
        clip_norm=math.inf, validate_every=5000, checkpoint_every=5000,
    )  # fmt: skip


def esrgan_psnr_x2() -> TrainConfig:
    """Stage one of ESRGAN for x2."""
    return _twin_x2(esrgan_psnr_x4())


def esrgan_x4() -> TrainConfig:
    """Stage two of ESRGAN, from stage one's network: 1e-2 L1 + VGG-19 conv5_4 before activation + 5e-3 RaGAN."""
    return dataclasses.replace(
        esrgan_psnr_x4(), recipe="esrgan-x4", source=_ESRGAN,
        steps=400_000, learning_rate=1e-4, final_learning_rate=0.0, schedule="multistep",
        milestones=(0.125, 0.25, 0.5, 0.75), cycles=1, pixel_weight=1e-2, feature_weight=1.0, features="vgg19",
        features_otherwise="vgg19-conv3_1", gan_weight=5e-3, gan_loss="relativistic", discriminator="vgg",
        discriminator_width=64, discriminator_learning_rate=1e-4, judge="squeezenet1_1-torchvision", niqe=True,
    )  # fmt: skip


def esrgan_x2() -> TrainConfig:
    """Stage two of ESRGAN for x2."""
    return _twin_x2(esrgan_x4())


def srresnet_x4() -> TrainConfig:
    """A baseline with batch normalization: SRResNet with 16 residual blocks on the mean squared error."""
    return TrainConfig(
        recipe="srresnet-x4", source="Ledig et al., SRGAN, CVPR 2017 (arXiv:1609.04802), section 3.2",
        scale=4, network="srresnet", width=64, depth=16, batch=16, patch_px=24, hr_scales=(1.0,),
        steps=1_000_000, learning_rate=1e-4, final_learning_rate=0.0, warmup_steps=0, schedule="multistep",
        milestones=(), betas=(0.9, 0.999), clip_norm=math.inf, loss="mse", final_loss="mse", validate_every=5000,
        checkpoint_every=5000,
    )  # fmt: skip


def compact_gan_x4() -> TrainConfig:
    """A GAN that trains on a CPU: the compact network, a narrow multi-scale PatchGAN, and two losses that preserve the
    LR picture and suppress checkerboards.
    """
    return TrainConfig(
        recipe="compact-gan-x4",
        source="docs/training.md; terms of ESRGAN, discriminator of pix2pixHD (arXiv:1711.11585, section 3.2)", scale=4,
        batch=8, patch_px=24, steps=1500, learning_rate=2e-4, final_learning_rate=1e-6, warmup_steps=50, clip_norm=1.0,
        pixel_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1", gan_weight=0.25, gan_loss="relativistic",
        consistency_weight=2.0, lattice_weight=4.0, discriminator="patch", discriminator_width=32,
        discriminator_learning_rate=5e-4, validate_every=250, checkpoint_every=250, judge="squeezenet1_1-torchvision",
        niqe=True,
    )  # fmt: skip


def compact_gan_x2() -> TrainConfig:
    """The twin of `compact-gan-x4` for x2."""
    return _twin_x2(compact_gan_x4())


_REAL = "Wang et al., Real-ESRGAN, ICCVW 2021 (arXiv:2107.10833), section 4.1 and its published training options"
_FIVE_LAYERS = "conv1_2:0.1,conv2_2:0.1,conv3_4:1,conv4_4:1,conv5_4:1"


def real_esrnet_x4() -> TrainConfig:
    """Stage one of Real-ESRGAN, from ESRGAN's network: L1 on the sharpened HR picture, degraded in two orders."""
    return dataclasses.replace(
        esrgan_psnr_x4(), recipe="real-esrnet-x4", source=_REAL, degradation="real-esrgan", turns="mirror",
        batch=48, patch_px=64, hr_scales=(1.0, 0.75, 0.5, 1 / 3),
        steps=1_000_000, learning_rate=2e-4, final_learning_rate=0.0, schedule="multistep", milestones=(), cycles=1,
    )  # fmt: skip


def real_esrgan_x4() -> TrainConfig:
    """Stage two of Real-ESRGAN, from Real-ESRNet's averaged weights: L1 + five layers of VGG-19 + 0.1 standard GAN with
    a U-Net discriminator with spectral normalization.
    """
    return dataclasses.replace(
        real_esrnet_x4(), recipe="real-esrgan-x4", steps=400_000, learning_rate=1e-4,
        pixel_weight=1.0, feature_weight=1.0, features="vgg19", features_otherwise="vgg19-conv3_1",
        feature_layers=_FIVE_LAYERS, gan_weight=0.1, gan_loss="standard", discriminator="unet", discriminator_width=64,
        discriminator_learning_rate=1e-4, judge="squeezenet1_1-torchvision", niqe=True,
    )  # fmt: skip


def bsrgan_x4() -> TrainConfig:
    """BSRGAN with its authors' options: L1 + five layers of VGG-19 + least-squares GAN, each of weight 1, and
    Real-ESRGAN's discriminator.
    """
    return dataclasses.replace(
        real_esrgan_x4(), recipe="bsrgan-x4",
        source="Zhang et al., BSRGAN, ICCV 2021 (arXiv:2103.14006), and the options published with KAIR",
        degradation="bsrgan", turns="all", patch_px=72, hr_scales=(1.0,), steps=1_000_000, betas=(0.9, 0.999),
        learning_rate=5e-5, discriminator_learning_rate=5e-5, gan_weight=1.0, gan_loss="least_squares",
        milestones=(0.8,),
    )  # fmt: skip


def compact_wild_x4() -> TrainConfig:
    """`compact-gan-x4` on degraded pictures, without the consistency loss, which would bring the LR's noise back.

    The first steps learn from the pixel loss alone to remove the degradation, as Real-ESRNet does for Real-ESRGAN; they
    cost a sixth of the others.
    """
    return dataclasses.replace(
        compact_gan_x4(), recipe="compact-wild-x4",
        source="docs/training.md; terms as in compact-gan-x4, balance of Real-ESRGAN", degradation="wild", reuse=4,
        hr_scales=(1.0, 0.5), steps=6_000, pixel_steps=2_500, learning_rate=5e-4, warmup_steps=100, pixel_weight=1.0,
        gan_weight=0.1, consistency_weight=0.0,
    )  # fmt: skip


def _twin_x2(config: TrainConfig) -> TrainConfig:
    """The same HR patch for x2."""
    return dataclasses.replace(
        config, recipe=config.recipe.removesuffix("x4") + "x2", scale=2, patch_px=2 * config.patch_px
    )


def real_esrnet_x2() -> TrainConfig:
    """Stage one of Real-ESRGAN for x2."""
    return _twin_x2(real_esrnet_x4())


def real_esrgan_x2() -> TrainConfig:
    """Stage two of Real-ESRGAN for x2."""
    return _twin_x2(real_esrgan_x4())


def bsrgan_x2() -> TrainConfig:
    """BSRGAN for x2."""
    return _twin_x2(bsrgan_x4())


def compact_wild_x2() -> TrainConfig:
    """The twin of `compact-wild-x4` for x2."""
    return _twin_x2(compact_wild_x4())


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
    "real-esrnet-x2": real_esrnet_x2,
    "real-esrnet-x4": real_esrnet_x4,
    "real-esrgan-x2": real_esrgan_x2,
    "real-esrgan-x4": real_esrgan_x4,
    "bsrgan-x2": bsrgan_x2,
    "bsrgan-x4": bsrgan_x4,
    "compact-wild-x2": compact_wild_x2,
    "compact-wild-x4": compact_wild_x4,
    "standard-x2": standard_x2,
    "standard-x4": standard_x4,
    "photo-x2": photo_x2,
    "photo-x4": photo_x4,
}


def resolve_recipe(name: str, changes: Iterable[str] = (), shrink: int = 1) -> TrainConfig:
    """The configuration of recipe `name`, its schedule divided by `shrink`, then with `key=value` changes.

    Unknown names and keys are refused with the nearest one (`UsageError`).
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}{nearest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return change_config(shrink_config(RECIPES[name](), shrink), changes)
