"""RRDBNet, the generator of ESRGAN (Wang et al., ECCVW 2018, figures 3 and 4, section 3.1).

Modules have BasicSR's names, so that the state dict is the exported file. x2 and x1 put a pixel-unshuffle before the x4
network (Wang et al., Real-ESRGAN, ICCVW 2021, section 3.2); x8 has a third upsampling.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Mapping
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint as _checkpoint  # pyright: ignore[reportUnknownVariableType]

from upres.errors import DataError, UsageError
from upres.training.networks.plain import matching_state
from upres.training.winograd.conv import Conv2d, dense_block

_RESIDUAL: Final = 0.2  # factor of a block's output, which is added to its input
_SLOPE: Final = 0.2  # of every LeakyReLU
_INIT_GAIN: Final = 0.1  # ESRGAN, section 3.1 and its supplementary: residual branches start small
_UNSHUFFLE: Final = {1: 4, 2: 2, 4: 1, 8: 1}  # scale -> factor of the initial pixel-unshuffle
_UPS: Final = {1: 2, 2: 2, 4: 2, 8: 3}  # scale -> number of upsamplings by 2


def _conv(channels_in: int, channels_out: int) -> Conv2d:
    return Conv2d(channels_in, channels_out, 3, padding=1)


class _DenseBlock(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, growth)
        self.conv2 = _conv(width + growth, growth)
        self.conv3 = _conv(width + 2 * growth, growth)
        self.conv4 = _conv(width + 3 * growth, growth)
        self.conv5 = _conv(width + 4 * growth, width)
        for conv in self._convs():
            nn.init.kaiming_normal_(conv.weight, a=0.0, mode="fan_in")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            with torch.no_grad():
                conv.weight.mul_(_INIT_GAIN)

    def _convs(self) -> tuple[nn.Conv2d, ...]:
        return self.conv1, self.conv2, self.conv3, self.conv4, self.conv5

    def forward(self, x: Tensor) -> Tensor:
        convs = self._convs()
        return dense_block(x, [conv.weight for conv in convs], [conv.bias for conv in convs if conv.bias is not None])


class _Block(nn.Module):
    """Residual in residual: three dense blocks, whose output times 0.2 is added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _DenseBlock(width, growth)
        self.rdb2 = _DenseBlock(width, growth)
        self.rdb3 = _DenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.rdb3(self.rdb2(self.rdb1(x))), alpha=_RESIDUAL)


def _checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """block(x), storing only x for the backward pass. Blocks are deterministic, so no generator state is stored."""
    return cast(Tensor, _checkpoint(block, x, use_reentrant=False, preserve_rng_state=False))


class RRDBNet(nn.Module):
    """lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not clamped. 16,697,987 parameters at x4 as published (64, 23,
    32).

    scale: 1, 2, 4 or 8. At x2 and x1 the input is reflected to a multiple of 2 or 4, and the output cropped. width:
    channels of the trunk. blocks: number of RRDBs. growth: channels added by each convolution of a dense block.
    checkpoint: in training, store only the input of each RRDB and recompute the rest in the backward pass:
    bit-identical gradients, less
        memory, and the time of a second forward pass.
    channels: 3, or 1 for gray pictures.

    Dense blocks are initialized as kaiming_normal (fan_in) times 0.1 with bias 0, all else as torch does. Raises
    `UsageError` for another scale.
    """

    def __init__(
        self,
        *,
        scale: int,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
        checkpoint: bool = False,
        channels: int = 3,
    ) -> None:
        super().__init__()
        if scale not in _UPS:
            raise UsageError(f"RRDBNet supports the scales {', '.join(map(str, _UPS))}; got {scale}")
        self.scale = scale
        self.checkpoint = checkpoint
        self.unshuffle = _UNSHUFFLE[scale]
        self.conv_first = _conv(channels * self.unshuffle**2, width)
        self.body = nn.ModuleList(_Block(width, growth) for _ in range(blocks))
        self.conv_body = _conv(width, width)
        self.conv_up1 = _conv(width, width)
        self.conv_up2 = _conv(width, width)
        self.conv_up3 = _conv(width, width) if _UPS[scale] == 3 else None
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, channels)

    def forward(self, lr: Tensor) -> Tensor:
        height, width = lr.shape[-2:]
        first = self.conv_first(F.pixel_unshuffle(self._aligned(lr), self.unshuffle))
        x = first
        for block in self.body:
            x = _checkpointed(block, x) if self.checkpoint and torch.is_grad_enabled() else block(x)
        x = first + self.conv_body(x)
        for conv in (self.conv_up1, self.conv_up2, self.conv_up3):
            if conv is not None:
                x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), _SLOPE, inplace=True)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), _SLOPE, inplace=True))
        return x[..., : height * self.scale, : width * self.scale].to(lr.dtype)

    def _aligned(self, lr: Tensor) -> Tensor:
        """`lr`, reflected below and at the right to the next multiple of the unshuffle, as `Upscaler` does."""
        factor = self.unshuffle
        height, width = lr.shape[-2:]
        below, right = -height % factor, -width % factor
        if below >= height or right >= width:
            raise DataError(
                f"an LR picture of {height} x {width} pixels is too small to be reflected to a multiple of {factor} "
                "pixels"
            )
        return F.pad(lr, (0, right, 0, below), mode="reflect") if below or right else lr

    @torch.no_grad()
    def merged_state_dict(self) -> dict[str, Tensor]:
        """The plain network under BasicSR's key names, which are those of the parameters."""
        return {name: parameter.detach().clone() for name, parameter in self.named_parameters()}

    @torch.no_grad()
    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Start from a network of this shape, in any of the three dialects (see `upres.graph.architectures.rrdb`).

        Raises `DataError` for missing or unexpected tensors, or other shapes.
        """
        parameters = dict(self.named_parameters())
        for name, tensor in matching_state(state, parameters, "scale, width, depth and growth").items():
            parameters[name].copy_(tensor)
