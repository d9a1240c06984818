"""RealPLKSR: partial large kernels (Lee, Yun and Ro, "Partial Large Kernel CNNs for Efficient Super-Resolution",
arXiv:2404.11848), with Mish and normalization for training on real-world pictures, as the community trains it.

The key names are those of its published weights, so that other programs read what is trained here. Normalization over
channels, which no graph node expresses: it stays with torch (and spandrel, for those who enlarge with it).
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.winograd.conv import Conv2d

KERNEL_PX = 17
_SHARE = 4  # one in so many channels passes through the large kernel (the paper's r = 1/4)
_STD = 0.02


class PixelNorm(nn.Module):
    """Layer normalization over the channels of each pixel, with a gain and a bias of each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        normal = F.layer_norm(x.permute(0, 2, 3, 1), (x.shape[1],), self.weight, self.bias, 1e-6)
        return normal.permute(0, 3, 1, 2)


class PartialKernel(nn.Module):
    """A 17x17 convolution of the first quarter of the channels; the others pass (the paper's PLKC)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // _SHARE
        self.conv = nn.Conv2d(part, part, KERNEL_PX, padding=KERNEL_PX // 2)
        nn.init.trunc_normal_(self.conv.weight, std=_STD)

    def forward(self, x: Tensor) -> Tensor:
        part = self.conv.in_channels
        return torch.cat([self.conv(x[:, :part]), x[:, part:]], 1)


class Attention(nn.Module):
    """Element-wise attention: x times the sigmoid of its convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(_conv(width, width, 3), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.f(x)


class Block(nn.Module):
    """x + refine(attention(large kernel(mixer(norm(x))))): local texture, long range, modulation, refinement."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer_norm = PixelNorm(width)
        self.channel_mixer = nn.Sequential(
            Conv2d(width, 2 * width, 3, padding=1), nn.Mish(), _conv(2 * width, width, 3)
        )
        self.lk = PartialKernel(width)
        self.attn = Attention(width)
        self.refine = _conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.refine(self.attn(self.lk(self.channel_mixer(self.layer_norm(x)))))


class RealPLKSR(nn.Module):
    """lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not clamped; `width` is a multiple of 4."""

    def __init__(self, scale: int, channels: int, width: int, depth: int) -> None:
        super().__init__()
        self.scale = scale
        # the place before the last is that of the published network's dropout, which has no weights
        self.feats = nn.Sequential(
            _conv(channels, width, 3), *(Block(width) for _ in range(depth)), nn.Identity(),
            _conv(width, channels * scale**2, 3),
        )  # fmt: skip

    def forward(self, lr: Tensor) -> Tensor:
        x = self.feats(lr) + lr.repeat_interleave(self.scale**2, 1)  # each color to all of its pixels: nearest
        return F.pixel_shuffle(cast(Tensor, x), self.scale)


def _conv(into: int, out: int, kernel: int) -> Conv2d:
    conv = Conv2d(into, out, kernel, padding=kernel // 2)
    nn.init.trunc_normal_(conv.weight, std=_STD)
    return conv
