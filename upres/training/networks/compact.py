"""SRVGGNetCompact with branched convolutions in training; exported as the plain network.

`BranchedConv` is a 3x3 convolution whose kernel is a sum of parallel linear branches (3x3, 1x1, 1x1 -> 3x3, edge
filters, identity), as in ECBSR (Zhang et al., ACM MM 2021) and RepVGG (Ding et al., CVPR 2021). Those run each branch
on the activations and merge afterwards. Convolution is linear, so we merge first, in every step: the gradient is that
of the branches, the cost that of one convolution.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.networks.plain import matching_state
from upres.training.winograd.conv import Conv2d, conv2d

# Sobel x, Sobel y and Laplacian: the fixed filters of ECBSR, section 3.2.
_EDGES = torch.tensor(
    [
        [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]],
        [[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]],
        [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]],
    ]
)
_PRELU_START = 0.25  # torch's own default slope
_BRANCH_GAIN = 0.3  # initially keeps a deep stack with identity branches near unit variance


class PlainConv(Conv2d):
    """An ordinary 3x3 convolution with the `kernel()` of `BranchedConv`."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1)
        nn.init.kaiming_normal_(self.weight, a=_PRELU_START)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def kernel(self) -> tuple[Tensor, Tensor]:
        assert self.bias is not None
        return self.weight, self.bias


class BranchedConv(nn.Module):
    """A 3x3 convolution (zero padding 1) parametrized by parallel linear branches, merged in weight space on every
    call.
    """

    edges: Tensor

    def __init__(self, channels_in: int, channels_out: int, expansion: int = 2) -> None:
        super().__init__()
        hidden = expansion * channels_out
        self.same = channels_in == channels_out
        self.full = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3))
        self.point = nn.Parameter(torch.empty(channels_out, channels_in, 1, 1))
        self.squeeze = nn.Parameter(torch.empty(hidden, channels_in))
        self.expand = nn.Parameter(torch.empty(channels_out, hidden, 3, 3))
        self.edge_point = nn.Parameter(torch.empty(3, channels_out, channels_in))
        self.edge_gain = nn.Parameter(torch.empty(3, channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.register_buffer("edges", _EDGES.clone(), persistent=False)
        gain = _BRANCH_GAIN if self.same else 1.0
        for weight in (self.full, self.point, self.squeeze, self.expand, self.edge_point):
            nn.init.kaiming_normal_(
                weight.view(-1, *weight.shape[2:]) if weight is self.edge_point else weight, a=_PRELU_START
            )
        with torch.no_grad():
            self.full.mul_(gain)
            self.point.mul_(gain * 0.3)
            self.expand.mul_(gain * 0.3)
            self.edge_gain.fill_(gain * 0.05)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """The merged kernel `out in 3 3` and bias `out`."""
        merged = self.full + torch.einsum("omhw,mi->oihw", self.expand, self.squeeze)
        merged = merged + torch.einsum("eo,eoi,ehw->oihw", self.edge_gain, self.edge_point, self.edges)
        center = self.point
        if self.same:
            center = center + torch.eye(self.point.shape[0], dtype=center.dtype, device=center.device)[:, :, None, None]
        return merged + F.pad(center, (1, 1, 1, 1)), self.bias

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.kernel()
        return conv2d(x, weight, bias, padding=1)


class Compact(nn.Module):
    """SRVGGNetCompact of Real-ESRGAN: 3x3 convolutions with PReLU and one pixel shuffle, added to the nearest-upsampled
    input.

    lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not clamped.

    width: channels of the inner convolutions.
    depth: number of inner convolutions (Real-ESRGAN's `num_conv`).
    scale: upsampling factor.
    branched: whether to use `BranchedConv`.
    channels: 3, or 1 for gray pictures.
    """

    def __init__(self, *, width: int, depth: int, scale: int, branched: bool = True, channels: int = 3) -> None:
        super().__init__()
        conv: Callable[[int, int], PlainConv | BranchedConv] = BranchedConv if branched else PlainConv
        self.scale = scale
        sizes = [channels, *[width] * (depth + 1), channels * scale * scale]
        self.convs = nn.ModuleList(conv(a, b) for a, b in pairwise(sizes))
        self.slopes = nn.ParameterList(torch.full((width,), _PRELU_START) for _ in range(depth + 1))
        last = self.convs[-1]
        with torch.no_grad():  # start near nearest-neighbor upsampling
            for parameter in last.parameters():
                parameter.mul_(0.1)

    def forward(self, lr: Tensor) -> Tensor:
        x = lr
        for conv, slope in zip(self.convs[:-1], self.slopes, strict=True):
            x = F.prelu(conv(x), slope)
        x = F.pixel_shuffle(self.convs[-1](x), self.scale)
        return x.float() + F.interpolate(lr, scale_factor=self.scale, mode="nearest")

    @torch.no_grad()
    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Start from a plain network of this shape (`merged_state_dict` of another): the 3x3 branches absorb the
        difference to the others.

        Raises `DataError` for missing or unexpected tensors, or other shapes.
        """
        expected = self.merged_state_dict()
        state = matching_state(state, expected, "scale, width and depth")
        for index, conv in enumerate(self.convs):
            assert isinstance(conv, PlainConv | BranchedConv)
            weight = state[f"body.{2 * index}.weight"]
            if isinstance(conv, BranchedConv):
                conv.full.add_(weight - expected[f"body.{2 * index}.weight"])
            else:
                conv.weight.copy_(weight)
            assert conv.bias is not None
            conv.bias.copy_(state[f"body.{2 * index}.bias"])
            if index < len(self.slopes):
                self.slopes[index].copy_(state[f"body.{2 * index + 1}.weight"])

    @torch.no_grad()
    def merged_state_dict(self) -> dict[str, Tensor]:
        """The plain network under Real-ESRGAN's key names: `body.N.weight` / `.bias`, convolutions even, PReLU slopes
        odd.
        """
        state: dict[str, Tensor] = {}
        for index, conv in enumerate(self.convs):
            assert isinstance(conv, PlainConv | BranchedConv)
            weight, bias = conv.kernel()
            state[f"body.{2 * index}.weight"] = weight.detach().clone()
            state[f"body.{2 * index}.bias"] = bias.detach().clone()
            if index < len(self.slopes):
                state[f"body.{2 * index + 1}.weight"] = self.slopes[index].detach().clone()
        return state
