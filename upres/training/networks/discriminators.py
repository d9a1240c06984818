"""Discriminators: VGG-style, U-Net, U-Net with attention gates (`attention_unet.py`) and multi-scale PatchGAN.

Each takes `b c h w` in [0,1], c 3, or 1 for gray pictures, of any size above its minimum, and returns a tuple of
logits, one tensor or one per scale; above 0 means "a photograph". Weights have torch's default initialization, as in
the original trainers.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import math
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.errors import UsageError
from upres.training.distributed.ranks import Ranks
from upres.training.networks.attention_unet import AttentionUNetDiscriminator
from upres.training.networks.discriminator_layers import RankBatchNorm, SpectralConv2d, check_size, enlarge, leaky
from upres.training.winograd.conv import Conv2d


class VGGDiscriminator(nn.Module):
    """The discriminator of SRGAN and ESRGAN (Ledig et al., CVPR 2017, figure 4), with the layers and keys of BasicSR's
    for 128 px.

    Five pairs of a 3x3 and a 4x4 convolution of stride 2, all but the first normalized over the batch of all ranks,
    then two linear layers. x `b c h w`, h and w at least 32 -> (logits `b 1`,). Features are averaged to 4x4 before the
    linear layers, so that any size works; at 128 px they are 4x4 already and the network is the published one.
    """

    SMALLEST = 32
    _GRID = 4

    def __init__(self, width: int = 64, ranks: Ranks = Ranks(), channels: int = 3) -> None:  # noqa: B008  # immutable
        super().__init__()
        self.channels = channels
        self.conv0_0 = Conv2d(channels, width, 3, padding=1)
        self.conv0_1 = Conv2d(width, width, 4, stride=2, padding=1, bias=False)
        self.bn0_1 = RankBatchNorm(width, ranks)
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        for stage in range(1, 5):
            before, here = widths[stage - 1 : stage + 1]
            self.add_module(f"conv{stage}_0", Conv2d(before, here, 3, padding=1, bias=False))
            self.add_module(f"bn{stage}_0", RankBatchNorm(here, ranks))
            self.add_module(f"conv{stage}_1", Conv2d(here, here, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{stage}_1", RankBatchNorm(here, ranks))
        self.linear1 = nn.Linear(8 * width * self._GRID**2, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        check_size(x, self.channels, self.SMALLEST, "VGG")
        if self.training and self.bn0_1.ranks.count * x.shape[0] * (x.shape[2] // 32) * (x.shape[3] // 32) == 1:
            raise UsageError(
                "the VGG discriminator normalizes over the batch: one patch below 64 px is too little, raise `batch`"
            )
        x = leaky(self.conv0_0(x))
        x = leaky(self.bn0_1(self.conv0_1(x)))  # b width h/2 w/2
        for stage in range(1, 5):
            for half in (0, 1):
                x = leaky(getattr(self, f"bn{stage}_{half}")(getattr(self, f"conv{stage}_{half}")(x)))
        x = _mean_to(_mean_to(x, self._GRID, 2), self._GRID, 3)  # b 8width 4 4
        return (self.linear2(leaky(self.linear1(x.flatten(1)))),)


def _mean_to(x: Tensor, size: int, axis: int) -> Tensor:
    """Adaptive average pooling along one axis. torch's version for two axes has no deterministic backward on CUDA."""
    length = x.shape[axis]
    if length == size:
        return x
    windows = [(index * length // size, math.ceil((index + 1) * length / size)) for index in range(size)]
    return torch.stack([x.narrow(axis, start, stop - start).mean(axis) for start, stop in windows], axis)


class UNetDiscriminator(nn.Module):
    """The U-Net with spectral normalization of Real-ESRGAN (Wang et al., ICCVW 2021, figure 6; keys of its published
    weights).

    x `b c h w`, h and w at least 8 -> (logits `b 1 h w`,), one per pixel. The decoder enlarges features bilinearly to
    the size of the skip connection, which is twice theirs or, if odd, one pixel more. So nothing is padded or cropped,
    and sizes divisible by 8 give the published network.
    """

    SMALLEST = 8

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.conv0 = Conv2d(channels, width, 3, padding=1)
        self.conv1 = SpectralConv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
        self.conv2 = SpectralConv2d(2 * width, 4 * width, 4, stride=2, padding=1, bias=False)
        self.conv3 = SpectralConv2d(4 * width, 8 * width, 4, stride=2, padding=1, bias=False)
        self.conv4 = SpectralConv2d(8 * width, 4 * width, 3, padding=1, bias=False)
        self.conv5 = SpectralConv2d(4 * width, 2 * width, 3, padding=1, bias=False)
        self.conv6 = SpectralConv2d(2 * width, width, 3, padding=1, bias=False)
        self.conv7 = SpectralConv2d(width, width, 3, padding=1, bias=False)
        self.conv8 = SpectralConv2d(width, width, 3, padding=1, bias=False)
        self.conv9 = Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        check_size(x, self.channels, self.SMALLEST, "U-Net")
        x0 = leaky(self.conv0(x))  # b width h w
        x1 = leaky(self.conv1(x0))  # b 2width h/2 w/2
        x2 = leaky(self.conv2(x1))  # b 4width h/4 w/4
        x3 = leaky(self.conv3(x2))  # b 8width h/8 w/8
        y = leaky(self.conv4(enlarge(x3, x2))) + x2
        y = leaky(self.conv5(enlarge(y, x1))) + x1
        y = leaky(self.conv6(enlarge(y, x0))) + x0
        y = leaky(self.conv8(leaky(self.conv7(y))))
        return (self.conv9(y),)


class PatchDiscriminator(nn.Module):
    """Multi-scale PatchGAN: a network each at 1, 1/2, 1/4, ... of the resolution, no shared weights (Wang et al.,
    pix2pixHD, CVPR 2018).

    Each judges overlapping patches of 70x70 px of its resolution (`layers` = 3; Isola et al., CVPR 2017, section
    6.1.2), the coarsest of three about 280 px. Spectral normalization replaces the papers' batch or instance
    normalization, on the same layers. x `b c h w`, h and w at least 2^(layers + scales - 1) -> a map of logits per
    scale, about 1/2^layers of its resolution.
    """

    def __init__(self, width: int = 64, scales: int = 3, layers: int = 3, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.scales = nn.ModuleList(_OnePatch(width, layers, channels) for _ in range(scales))
        self.smallest = 2 ** (layers + scales - 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        check_size(x, self.channels, self.smallest, "PatchGAN")
        maps: list[Tensor] = []
        for index, scale in enumerate(self.scales):
            if index:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            maps.append(scale(x))
        return tuple(maps)


class _OnePatch(nn.Module):
    """4x4 convolutions padded by 2: `layers` of stride 2, one of stride 1, and the logits; all but the outer two are
    normalized.
    """

    def __init__(self, width: int, layers: int, channels: int) -> None:
        super().__init__()
        widths = [width * min(2**index, 8) for index in range(layers + 1)]
        self.first = Conv2d(channels, width, 4, stride=2, padding=2)
        self.inner = nn.ModuleList(
            SpectralConv2d(widths[i], widths[i + 1], 4, stride=2 if i < layers - 1 else 1, padding=2, bias=True)
            for i in range(layers)
        )
        self.last = Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = leaky(self.first(x))
        for conv in self.inner:
            x = leaky(conv(x))
        return self.last(x)


_Kind: TypeAlias = (
    type[VGGDiscriminator] | type[UNetDiscriminator] | type[AttentionUNetDiscriminator] | type[PatchDiscriminator]
)
DISCRIMINATORS: dict[str, _Kind] = {
    "vgg": VGGDiscriminator,
    "unet": UNetDiscriminator,
    "attention": AttentionUNetDiscriminator,
    "patch": PatchDiscriminator,
}


def build_discriminator(kind: str, width: int, ranks: Ranks = Ranks(), channels: int = 3) -> nn.Module:  # noqa: B008  # immutable
    """A discriminator on the CPU, in training mode.

    kind: one of `DISCRIMINATORS`.
    width: channels of its first layer.
    ranks: batch normalization is over the batch of all of these.
    channels: 3, or 1 for gray pictures.

    Raises `UsageError` for an unknown kind or a width below 1.
    """
    if kind not in DISCRIMINATORS:
        raise UsageError(f"unknown discriminator {kind!r}: choose one of {', '.join(DISCRIMINATORS)}")
    if width < 1:
        raise UsageError(f"the width of a discriminator must be at least 1, got {width}")
    discriminator = DISCRIMINATORS[kind](width, channels=channels)
    for module in discriminator.modules():
        if isinstance(module, RankBatchNorm):
            module.ranks = ranks
    return discriminator
