"""The house's residual network as a plain torch module, written from the formula and the key table in its description.

It shares nothing with `upres` and is what the engines and the network in training are compared with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualNet(nn.Module):
    """head, groups of 3x3 convolutions with x * sigmoid(x) between them and a skip over each group, 1x1 join, long
    skip, tail, shuffle.
    """

    def __init__(self, colors: int = 3, width: int = 8, groups: int = 2, length: int = 4, scale: int = 4) -> None:
        super().__init__()
        self.head = nn.Conv2d(colors, width, 3, padding=1)
        self.groups = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(length)) for _ in range(groups)
        )
        self.join = nn.Conv2d(width, width, 1)
        self.tail = nn.Conv2d(width, colors * scale**2, 3, padding=1)
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        features = self.head(lr)
        value = features
        for group in self.groups:
            assert isinstance(group, nn.ModuleList)
            branch = value
            for place, conv in enumerate(group):
                branch = conv(branch)
                if place + 1 < len(group):
                    branch = branch * torch.sigmoid(branch)
            value = value + branch
        return F.pixel_shuffle(self.tail(features + self.join(value)), self.scale)
