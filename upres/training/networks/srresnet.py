"""SRResNet, the generator of SRGAN (Ledig et al., CVPR 2017, figure 4 and section 3.2).

Training uses batch normalization; `merged_state_dict` folds it into the preceding convolutions, with the running
statistics, under the names of `upres.graph.architectures.srresnet`.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.errors import UsageError
from upres.training.networks.plain import matching_state
from upres.training.winograd.conv import Conv2d

_UPS = {2: 1, 4: 2, 8: 3}  # scale -> number of upsamplings by 2

_Normalize: TypeAlias = Callable[[nn.Conv2d, nn.BatchNorm2d, Tensor], Tensor]


def _conv(channels_in: int, channels_out: int, kernel: int = 3, *, bias: bool = True) -> nn.Conv2d:
    return Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=bias)


class _Block(nn.Module):
    """conv, normalization, PReLU, conv, normalization. Run by `SRResNet`, which adds the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(width, width, bias=False), nn.BatchNorm2d(width)
        self.act = nn.PReLU(width)
        self.conv2, self.bn2 = _conv(width, width, bias=False), nn.BatchNorm2d(width)


class SRResNet(nn.Module):
    """lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not clamped (the paper's HR are in [-1,1]).

    scale: 2, 4 or 8.
    width, blocks: 64 and 16 as published.
    channels: 3, or 1 for gray pictures.

    Each PReLU has one slope per channel: the paper cites He et al. (ICCV 2015), whose equation 1 has one per channel
    and calls the shared one a variant. Raises `UsageError` for another scale.
    """

    def __init__(self, *, scale: int, width: int = 64, blocks: int = 16, channels: int = 3) -> None:
        super().__init__()
        if scale not in _UPS:
            raise UsageError(f"SRResNet supports the scales {', '.join(map(str, _UPS))}; got {scale}")
        self.scale = scale
        self.head, self.head_act = _conv(channels, width, 9), nn.PReLU(width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.trunk, self.trunk_bn = _conv(width, width, bias=False), nn.BatchNorm2d(width)
        self.ups = nn.ModuleList(_conv(width, 4 * width) for _ in range(_UPS[scale]))
        self.up_acts = nn.ModuleList(nn.PReLU(width) for _ in range(_UPS[scale]))
        self.tail = _conv(width, channels, 9)

    def forward(self, lr: Tensor) -> Tensor:
        return self._run(lr, lambda conv, bn, x: bn(conv(x)))

    def _run(self, lr: Tensor, normalized: _Normalize) -> Tensor:
        first = self.head_act(self.head(lr))
        x = first
        for block in self.blocks:
            assert isinstance(block, _Block)
            x = x + normalized(block.conv2, block.bn2, block.act(normalized(block.conv1, block.bn1, x)))
        x = first + normalized(self.trunk, self.trunk_bn, x)
        for conv, act in zip(self.ups, self.up_acts, strict=True):
            x = act(F.pixel_shuffle(conv(x), 2))
        return self.tail(x).to(lr.dtype)

    @torch.no_grad()
    def merged_state_dict(self) -> dict[str, Tensor]:
        """The plain network, batch normalization folded with its running statistics: the function of eval mode."""
        state: dict[str, Tensor] = {}
        for stem, conv, bn in self._convs():
            state[f"{stem}.weight"], state[f"{stem}.bias"] = _plain(conv, bn)
        state |= {f"{stem}.weight": act.weight for stem, act in self._acts()}
        return {name: tensor.detach().clone() for name, tensor in state.items()}

    @torch.no_grad()
    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Start from a plain network of this shape (`merged_state_dict` of another).

        Convolutions take the folded weights; each batch normalization becomes the identity plus the bias (mean 0,
        variance 1). In eval mode the result is the plain network; in training mode it needs `calibrate`, since the
        statistics of a batch differ. Raises `DataError` for missing or unexpected tensors, or other shapes.
        """
        plain = matching_state(state, self.merged_state_dict(), "scale, width and depth")
        for stem, conv, bn in self._convs():
            conv.weight.copy_(plain[f"{stem}.weight"])
            bias = plain[f"{stem}.bias"]
            if bn is None:
                assert conv.bias is not None
                conv.bias.copy_(bias)
            else:
                bn.reset_running_stats()
                _set_affine(bn, torch.ones_like(bias, dtype=torch.float64), bias.double())
        for stem, act in self._acts():
            act.weight.copy_(plain[f"{stem}.weight"])

    @torch.no_grad()
    def calibrate(self, lr: Tensor) -> None:
        """Give each batch normalization the statistics of the batch `lr`, adjusting gain and shift to keep the function
        of eval mode.

        After `load_plain` training would start from another function, since features are normalized by other
        statistics. After this, it starts from the loaded network: on `lr` itself training and eval mode agree. The idea
        is the data-dependent initialization of Glow (Kingma and Dhariwal, NeurIPS 2018, section 3.1), here preserving
        the output. Call it before the weight average starts, with the same batch on every rank.
        """

        def normalized(conv: nn.Conv2d, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
            y = conv(x)
            assert bn.running_mean is not None and bn.running_var is not None
            gain, shift = _affine(bn)
            bn.running_mean.copy_(y.mean((0, 2, 3)))
            bn.running_var.copy_(y.var((0, 2, 3), correction=0))
            _set_affine(bn, gain, shift)
            return y * gain.to(y.dtype)[:, None, None] + shift.to(y.dtype)[:, None, None]

        self._run(lr, normalized)

    def _convs(self) -> list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
        """Name in the plain network, convolution, and the batch normalization that follows, if any."""
        found: list[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]] = [("head.conv", self.head, None)]
        for index, block in enumerate(self.blocks):
            assert isinstance(block, _Block)
            found += [
                (f"blocks.{index}.conv1", block.conv1, block.bn1),
                (f"blocks.{index}.conv2", block.conv2, block.bn2),
            ]
        found.append(("trunk", self.trunk, self.trunk_bn))
        for number, conv in enumerate(self.ups, 1):
            assert isinstance(conv, nn.Conv2d)
            found.append((f"up{number}.conv", conv, None))
        return [*found, ("tail", self.tail, None)]

    def _acts(self) -> list[tuple[str, nn.PReLU]]:
        """Name in the plain network, and the PReLU."""
        found = [("head.act", self.head_act)]
        for index, block in enumerate(self.blocks):
            assert isinstance(block, _Block)
            found.append((f"blocks.{index}.act", block.act))
        for number, act in enumerate(self.up_acts, 1):
            assert isinstance(act, nn.PReLU)
            found.append((f"up{number}.act", act))
        return found


def _affine(bn: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(gain, shift), float64: in eval mode `bn` computes gain x + shift per channel."""
    assert bn.running_mean is not None and bn.running_var is not None
    gain = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return gain, bn.bias.double() - bn.running_mean.double() * gain


def _set_affine(bn: nn.BatchNorm2d, gain: Tensor, shift: Tensor) -> None:
    """Set weight and bias such that `bn`, with its running statistics, computes gain x + shift in eval mode."""
    assert bn.running_mean is not None and bn.running_var is not None
    bn.weight.copy_(gain * torch.sqrt(bn.running_var.double() + bn.eps))
    bn.bias.copy_(shift + bn.running_mean.double() * gain)


def _plain(conv: nn.Conv2d, bn: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of the single convolution that equals both in eval mode."""
    if bn is None:
        assert conv.bias is not None
        return conv.weight, conv.bias
    gain, shift = _affine(bn)
    weight = conv.weight.double() * gain[:, None, None, None]
    return weight.to(conv.weight.dtype), shift.to(conv.weight.dtype)
