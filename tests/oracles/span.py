"""SPAN as a plain torch module, written from the paper (Wan et al., CVPR workshops 2024, figure 2) and the key names of
published files.

The network runs its branches, as in training: padded first, then 1x1, 3x3, 1x1 without padding, plus the 1x1 skip.
`eval_conv` is left with other numbers on purpose: a file's copy may be stale.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Conv3XC(nn.Module):
    def __init__(self, into: int, out: int, gain: int = 2, bias: bool = True) -> None:
        super().__init__()
        self.sk = nn.Conv2d(into, out, 1, bias=bias)
        self.conv = nn.Sequential(
            nn.Conv2d(into, into * gain, 1, bias=bias),
            nn.Conv2d(into * gain, out * gain, 3, bias=bias),
            nn.Conv2d(out * gain, out, 1, bias=bias),
        )
        self.eval_conv = nn.Conv2d(into, out, 3, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)


class SPAB(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (Conv3XC(width, width, bias=bias) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(output, the activated first convolution)."""
        inner = F.silu(self.c1_r(x))
        out3 = self.c3_r(F.silu(self.c2_r(inner)))
        return (out3 + x) * (torch.sigmoid(out3) - 0.5), inner


class SPAN(nn.Module):
    def __init__(self, colors: int = 3, width: int = 48, scale: int = 4, norm: bool = False, bias: bool = True) -> None:
        super().__init__()
        self.scale = scale
        if not norm:
            self.register_buffer("no_norm", torch.zeros(1))
        self.norm = norm
        self.conv_1 = Conv3XC(colors, width)
        for number in range(1, 7):
            self.add_module(f"block_{number}", SPAB(width, bias))
        self.conv_2 = Conv3XC(width, width, bias=bias)
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, colors * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm:
            x = (x - torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)) * 255.0
        head = value = self.conv_1(x)
        outputs: list[tuple[Tensor, Tensor]] = []
        for number in range(1, 7):
            outputs.append(getattr(self, f"block_{number}")(value))
            value = outputs[-1][0]
        return self.upsampler(self.conv_cat(torch.cat([head, self.conv_2(value), outputs[0][0], outputs[-1][1]], 1)))


def merge_by_torch(module: Conv3XC) -> tuple[Tensor, Tensor]:
    """The 3x3 of a `Conv3XC` by what it does to single pixels: its answer to black is the bias, to a lit pixel the
    kernel turned.
    """
    into = module.sk.in_channels
    with torch.no_grad():
        bias = module(torch.zeros(1, into, 5, 5))[0, :, 2, 2]
        lit = torch.zeros(into, into, 5, 5)
        lit[torch.arange(into), torch.arange(into), 2, 2] = 1.0
        answers = module(lit) - module(torch.zeros(1, into, 5, 5))
    return answers[:, :, 1:4, 1:4].flip(2, 3).permute(1, 0, 2, 3).contiguous(), bias
