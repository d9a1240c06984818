"""Discriminators: VGG-style, U-Net and multi-scale PatchGAN, with the two normalizations they use.

Each takes `b c h w` in [0,1], c 3, or 1 for gray pictures, of any size above its minimum, and returns a tuple of
logits, one tensor or one per scale; above 0 means "a photograph". Weights have torch's default initialization, as in
the original trainers.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.errors import UsageError
from upres.training.distributed.ranks import Ranks
from upres.training.winograd.conv import Conv2d, conv2d

_FIRST_ITERATIONS = 15  # of the power method on creation, so that an untrained network is normalized in eval mode, too
_EPSILON = 1e-12


class RankBatchNorm(nn.BatchNorm2d):
    """Batch normalization over the batch of all ranks (Ioffe and Szegedy, ICML 2015, algorithm 1); torch's own for a
    single process.

    x `b c h w`, the same shape on every rank. `ranks` may be set after construction.
    """

    def __init__(self, channels: int, ranks: Ranks = Ranks()) -> None:  # noqa: B008  # immutable
        super().__init__(channels)
        self.ranks = ranks

    def forward(self, input: Tensor) -> Tensor:
        if self.ranks.count == 1 or not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = self.ranks.mean_over_ranks(x.mean((0, 2, 3)))
        centered = x - mean[:, None, None]
        variance = self.ranks.mean_over_ranks(centered.square().mean((0, 2, 3)))  # E[x^2] - E[x]^2 would cancel
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            count = self.ranks.count * x.numel() / x.shape[1]
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum or 0.0)
            self.running_var.lerp_(
                (variance * (count / (count - 1.0))).to(self.running_var.dtype), self.momentum or 0.0
            )
            self.num_batches_tracked.add_(1)
        gain = self.weight * torch.rsqrt(variance + self.eps)
        return (centered * gain[:, None, None] + self.bias[:, None, None]).to(input.dtype)


class SpectralConv2d(nn.Module):
    """A convolution with weight W / sigma(W), sigma the largest singular value of W as an `out x (in * k * k)` matrix.

    Miyato et al., "Spectral normalization for GANs", ICLR 2018, algorithm 1: each forward in training mode takes one
    step of the power method, v = W^T u / |W^T u|, u = W v / |W v|, and sigma = u^T W v with u and v constant in the
    gradient. Eval mode keeps u and v. Keys are those of torch.nn.utils.spectral_norm, so that published discriminators
    load: weight_orig, weight_u, weight_v, bias.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, padding: int, bias: bool
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(channels_in, channels_out, kernel, bias=bias)
        self.weight_orig, self.bias = plain.weight, plain.bias
        self.stride, self.padding = stride, padding
        matrix = self.weight_orig.detach().flatten(1)
        self.register_buffer("weight_u", F.normalize(torch.randn(matrix.shape[0]), dim=0, eps=_EPSILON))
        self.register_buffer("weight_v", torch.empty(matrix.shape[1]))
        with torch.no_grad():
            for _ in range(_FIRST_ITERATIONS):
                self.normalized_weight()

    def normalized_weight(self) -> Tensor:
        """W / sigma, `out in k k`; takes a step of the power method in training mode."""
        with torch.autocast(self.weight_orig.device.type, enabled=False):  # in bfloat16 sigma would have two digits
            matrix = self.weight_orig.flatten(1)
            if self.training:
                with torch.no_grad():
                    v = F.normalize(matrix.mT @ self.weight_u, dim=0, eps=_EPSILON)
                along = matrix @ v
                u = F.normalize(along.detach(), dim=0, eps=_EPSILON)
                # the graph must not refer to the buffers: another forward may precede the backward
                with torch.no_grad():
                    self.weight_u.copy_(u)
                    self.weight_v.copy_(v)
            else:
                u, along = self.weight_u.clone(), matrix @ self.weight_v.clone()
            return self.weight_orig / torch.dot(u, along)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x, self.normalized_weight(), self.bias, self.stride, self.padding)


def _leaky(x: Tensor) -> Tensor:
    """LeakyReLU 0.2, in place: nothing else uses its input, the output of a convolution or normalization."""
    return F.leaky_relu(x, 0.2, inplace=True)


def _check_size(x: Tensor, channels: int, smallest: int, name: str) -> None:
    if x.dim() != 4 or x.shape[1] != channels:
        raise UsageError(f"the discriminator takes batches b {channels} h w, got shape {tuple(x.shape)}")
    height, width = x.shape[2:]
    if min(height, width) < smallest:
        raise UsageError(
            f"the {name} discriminator takes pictures of at least {smallest}x{smallest} px, got {height}x{width} (h x "
            "w): "
            "use larger patches, or another discriminator"
        )


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
        _check_size(x, self.channels, self.SMALLEST, "VGG")
        if self.training and self.bn0_1.ranks.count * x.shape[0] * (x.shape[2] // 32) * (x.shape[3] // 32) == 1:
            raise UsageError(
                "the VGG discriminator normalizes over the batch: one patch below 64 px is too little, raise `batch`"
            )
        x = _leaky(self.conv0_0(x))
        x = _leaky(self.bn0_1(self.conv0_1(x)))  # b width h/2 w/2
        for stage in range(1, 5):
            for half in (0, 1):
                x = _leaky(getattr(self, f"bn{stage}_{half}")(getattr(self, f"conv{stage}_{half}")(x)))
        x = _mean_to(_mean_to(x, self._GRID, 2), self._GRID, 3)  # b 8width 4 4
        return (self.linear2(_leaky(self.linear1(x.flatten(1)))),)


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
        _check_size(x, self.channels, self.SMALLEST, "U-Net")
        x0 = _leaky(self.conv0(x))  # b width h w
        x1 = _leaky(self.conv1(x0))  # b 2width h/2 w/2
        x2 = _leaky(self.conv2(x1))  # b 4width h/4 w/4
        x3 = _leaky(self.conv3(x2))  # b 8width h/8 w/8
        y = _leaky(self.conv4(_enlarge(x3, x2))) + x2
        y = _leaky(self.conv5(_enlarge(y, x1))) + x1
        y = _leaky(self.conv6(_enlarge(y, x0))) + x0
        y = _leaky(self.conv8(_leaky(self.conv7(y))))
        return (self.conv9(y),)


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


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
        _check_size(x, self.channels, self.smallest, "PatchGAN")
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
        x = _leaky(self.first(x))
        for conv in self.inner:
            x = _leaky(conv(x))
        return self.last(x)


DISCRIMINATORS: dict[str, type[VGGDiscriminator] | type[UNetDiscriminator] | type[PatchDiscriminator]] = {
    "vgg": VGGDiscriminator,
    "unet": UNetDiscriminator,
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
