"""The house's residual network, to train (see `upres.graph.architectures.residual`).

Its 3x3 convolutions are trained as sums of linear branches that are merged in weight space in every call
(`compact.BranchedConv`); what is shipped is the plain network.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.networks.compact import BranchedConv, PlainConv
from upres.training.networks.plain import matching_state
from upres.training.winograd.conv import Conv2d

GROUP = 4  # convolutions that a skip passes over
_TAIL_GAIN = 0.02  # of the tail's random kernels
# of the last convolution of a group at the start: the trunk keeps near unit variance whatever the depth
_LAST_GAIN = 0.1


class Residual(nn.Module):
    """Plain 3x3 convolutions with SiLU, a skip over each four, one over all features, one pixel shuffle.

    `depth` counts the inner convolutions, a multiple of 4. lr `b c h w` in [0,1] -> sr `b c h*scale w*scale`, not
    clamped; c is `channels`: 3, or 1 for gray pictures.
    """

    def __init__(self, *, width: int, depth: int, scale: int, branched: bool = True, channels: int = 3) -> None:
        super().__init__()
        conv: Callable[[int, int], PlainConv | BranchedConv] = BranchedConv if branched else PlainConv
        self.scale = scale
        self.head = conv(channels, width)
        self.groups = nn.ModuleList(
            nn.ModuleList(conv(width, width) for _ in range(GROUP)) for _ in range(depth // GROUP)
        )
        self.join = Conv2d(width, width, 1)
        self.tail = conv(width, channels * scale * scale)
        with torch.no_grad():
            for group in self.groups:
                last = cast(nn.ModuleList, group)[-1]
                for parameter in last.parameters():
                    parameter.mul_(_LAST_GAIN)
                if isinstance(last, BranchedConv):  # its identity branch has no weight of its own: 0.1 of it is left
                    last.full[:, :, 1, 1].sub_((1.0 - _LAST_GAIN) * torch.eye(width))
            for parameter in self.tail.parameters():
                parameter.mul_(_TAIL_GAIN)
            nn.init.zeros_(cast(Tensor, self.join.bias))
        if width >= channels:
            self._begin_with_bilinear(channels)

    @torch.no_grad()
    def _begin_with_bilinear(self, colors: int) -> None:
        """Let the first features carry the colors and the tail enlarge them bilinearly: training begins with a picture,
        not with dots.

        A pixel shuffle of random kernels prints a pattern of its period that takes thousands of steps to fade (Aitken
        et al., "Checkerboard artifact free sub-pixel convolution", 2017, begin with nearest neighbors). The skip over
        all is linear, so this costs no layer.
        """
        # of the HR pixels of a cell, in LR pixels from its middle
        places = (torch.arange(self.scale) + 0.5) / self.scale - 0.5
        line = (1.0 - (places[:, None] - torch.tensor([-1.0, 0.0, 1.0])).abs()).clamp(min=0.0)  # scale 3
        bilinear = torch.einsum("iy,jx->ijyx", line, line).flatten(0, 1)  # scale*scale 3 3
        head, tail = (conv.kernel()[0].clone() for conv in (self.head, self.tail))
        head[:colors] = 0.0
        tail[:, :colors] = 0.0
        for color in range(colors):
            head[color, color, 1, 1] = 1.0
            tail[color * len(bilinear) : (color + 1) * len(bilinear), color] = bilinear
        _set_kernel(self.head, head)
        _set_kernel(self.tail, tail)
        self.join.weight[:colors] = 0.0

    def forward(self, lr: Tensor) -> Tensor:
        features = x = self.head(lr)  # b width h w
        for group in self.groups:
            *inner, last = cast(nn.ModuleList, group)
            y = x
            for conv in inner:
                y = F.silu(conv(y))
            x = x + last(y)
        return F.pixel_shuffle(self.tail(features + self.join(x)), self.scale).to(lr.dtype)  # b c h*scale w*scale

    @torch.no_grad()
    def load_plain(self, state: Mapping[str, Tensor]) -> None:
        """Begin with a plain network of this shape (`merged_state_dict` of another): the 3x3 branches take up what the
        others do not make.

        A network of another scale gives all but its tail, which keeps its fresh weights. Raises `DataError` where a
        tensor is missing, left over or of another shape.
        """
        expected = self.merged_state_dict()
        tail = state.get("tail.weight")
        own_tail = (
            tail is not None
            and tail.shape[1:] == expected["tail.weight"].shape[1:]
            and tail.shape != expected["tail.weight"].shape
        )
        if own_tail:
            state = {**state, "tail.weight": expected["tail.weight"], "tail.bias": expected["tail.bias"]}
        state = matching_state(state, expected, "scale, width and depth")
        for stem, conv in self._convs():
            _set_kernel(conv, state[f"{stem}.weight"])
            cast(Tensor, conv.bias).copy_(state[f"{stem}.bias"])

    @torch.no_grad()
    def merged_state_dict(self) -> dict[str, Tensor]:
        """The plain network under the keys of `upres.graph.architectures.residual`."""
        state: dict[str, Tensor] = {}
        for stem, conv in self._convs():
            weight, bias = (
                conv.kernel() if isinstance(conv, PlainConv | BranchedConv) else (conv.weight, cast(Tensor, conv.bias))
            )
            state[f"{stem}.weight"] = weight.detach().clone(memory_format=torch.contiguous_format)
            state[f"{stem}.bias"] = bias.detach().clone()
        return state

    def _convs(self) -> Iterator[tuple[str, PlainConv | BranchedConv | Conv2d]]:
        yield "head", self.head
        for number, group in enumerate(self.groups):
            for index, conv in enumerate(cast(nn.ModuleList, group)):
                yield f"groups.{number}.{index}", cast("PlainConv | BranchedConv", conv)
        yield "join", self.join
        yield "tail", self.tail


def _set_kernel(conv: PlainConv | BranchedConv | Conv2d, weight: Tensor) -> None:
    """Give `conv` the kernel `weight`: of a branched one the 3x3 branch takes up what the others do not make."""
    if isinstance(conv, BranchedConv):
        conv.full.add_(weight - conv.kernel()[0])
    else:
        conv.weight.copy_(weight)
