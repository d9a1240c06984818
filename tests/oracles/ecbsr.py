"""ECBSR as a plain torch module, written from the paper (Zhang et al., ACM Multimedia 2021, section 3.2) and the key
names of its files.

The branches run apart, each inner 1x1 padded with its bias by hand, as the paper says they are trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_FILTERS = {
    "conv1x1_sbx": [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]],
    "conv1x1_sby": [[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]],
    "conv1x1_lpl": [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]],
}


def _padded_with(value: Tensor, bias: Tensor) -> Tensor:
    frame = bias.view(1, -1, 1, 1).expand(1, -1, value.shape[2] + 2, value.shape[3] + 2).clone()
    frame[:, :, 1:-1, 1:-1] = value
    return frame


class Expanded(nn.Module):
    def __init__(self, into: int, out: int, middle: int) -> None:
        super().__init__()
        self.k0, self.b0 = nn.Parameter(torch.zeros(middle, into, 1, 1)), nn.Parameter(torch.zeros(middle))
        self.k1, self.b1 = nn.Parameter(torch.zeros(out, middle, 3, 3)), nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(_padded_with(F.conv2d(x, self.k0, self.b0), self.b0), self.k1, self.b1)


class Filtered(nn.Module):
    def __init__(self, into: int, out: int, kernel: list[list[float]]) -> None:
        super().__init__()
        self.k0, self.b0 = nn.Parameter(torch.zeros(out, into, 1, 1)), nn.Parameter(torch.zeros(out))
        self.scale, self.bias = nn.Parameter(torch.zeros(out, 1, 1, 1)), nn.Parameter(torch.zeros(out))
        self.mask = nn.Parameter(torch.tensor(kernel).expand(out, 1, 3, 3).clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = _padded_with(F.conv2d(x, self.k0, self.b0), self.b0)
        return F.conv2d(inner, self.scale * self.mask, self.bias, groups=self.bias.numel())


class ECB(nn.Module):
    def __init__(self, into: int, out: int, last: bool) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(into, out, 3, padding=1)
        self.conv1x1_3x3 = Expanded(into, out, 2 * out)
        for name, kernel in _FILTERS.items():
            self.add_module(name, Filtered(into, out, kernel))
        if not last:
            self.act = nn.PReLU(out)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        total = self.conv3x3(x) + self.conv1x1_3x3(x)
        for name in _FILTERS:
            total = total + getattr(self, name)(x)
        return total if self.last else self.act(total)


class ECBSR(nn.Module):
    def __init__(self, colors: int = 1, width: int = 16, blocks: int = 4, scale: int = 2) -> None:
        super().__init__()
        sizes = [colors, *[width] * (blocks + 1), colors * scale**2]
        self.backbone = nn.Sequential(*(ECB(sizes[i], sizes[i + 1], i == blocks + 1) for i in range(blocks + 2)))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """In the range that it was trained for. The input is added to each of its color's scale**2 channels."""
        return F.pixel_shuffle(self.backbone(x) + x.repeat_interleave(self.scale**2, 1), self.scale)


def randomized(module: ECBSR, seed: int, strength: float = 0.3) -> ECBSR:
    """Seeded weights; masks stay the filters that they are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("mask"):
                continue
            spread = strength / parameter[0].numel() ** 0.5 if parameter.ndim == 4 else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return module.eval()
