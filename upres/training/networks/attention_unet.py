"""A U-Net discriminator whose skip connections pass attention gates, at two scales.

Wei et al., "A-ESRGAN: Training Real-World Blind Super-Resolution with Attention U-Net Discriminators", 2021
(arXiv:2112.10046), section 3.2: gates on the U-Net of Real-ESRGAN, and a second network at half the resolution. A gate
is that of Oktay et al., "Attention U-Net", MIDL 2018 (arXiv:1804.03999), equations 1 and 2. Written from the papers:
the published weights of A-ESRGAN have other keys, and do not load.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from upres.training.networks.discriminator_layers import SpectralConv2d, check_size, enlarge, leaky
from upres.training.winograd.conv import Conv2d


class AttentionUNetDiscriminator(nn.Module):
    """x `b c h w`, h and w at least 16 -> logits `b 1 h w` and `b 1 h/2 w/2`, one per pixel of each scale."""

    SMALLEST = 16

    def __init__(self, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.scales = nn.ModuleList(_OneUNet(width, channels) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        check_size(x, self.channels, self.SMALLEST, "attention U-Net")
        half = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        return tuple(scale(one) for scale, one in zip(self.scales, (x, half), strict=True))


class _OneUNet(nn.Module):
    """The U-Net of Real-ESRGAN; what it adds from the encoder passes a gate that the decoder below opens."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv0 = Conv2d(channels, width, 3, padding=1)
        self.conv1 = SpectralConv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
        self.conv2 = SpectralConv2d(2 * width, 4 * width, 4, stride=2, padding=1, bias=False)
        self.conv3 = SpectralConv2d(4 * width, 8 * width, 4, stride=2, padding=1, bias=False)
        self.gate2 = _Gate(4 * width, 8 * width)
        self.gate1 = _Gate(2 * width, 4 * width)
        self.gate0 = _Gate(width, 2 * width)
        self.conv4 = SpectralConv2d(8 * width, 4 * width, 3, padding=1, bias=False)
        self.conv5 = SpectralConv2d(4 * width, 2 * width, 3, padding=1, bias=False)
        self.conv6 = SpectralConv2d(2 * width, width, 3, padding=1, bias=False)
        self.conv7 = SpectralConv2d(width, width, 3, padding=1, bias=False)
        self.conv8 = SpectralConv2d(width, width, 3, padding=1, bias=False)
        self.conv9 = Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x0 = leaky(self.conv0(x))  # b width h w
        x1 = leaky(self.conv1(x0))  # b 2width h/2 w/2
        x2 = leaky(self.conv2(x1))  # b 4width h/4 w/4
        x3 = leaky(self.conv3(x2))  # b 8width h/8 w/8
        y2 = leaky(self.conv4(enlarge(x3, x2))) + self.gate2(x2, x3)
        y1 = leaky(self.conv5(enlarge(y2, x1))) + self.gate1(x1, y2)
        y0 = leaky(self.conv6(enlarge(y1, x0))) + self.gate0(x0, y1)
        return self.conv9(leaky(self.conv8(leaky(self.conv7(y0)))))


class _Gate(nn.Module):
    """x̂ = α x with α = sigmoid(ψ(relu(θ x + φ g))), α on the grid of g, enlarged bilinearly.

    x `b c h w`, the gating signal g `b d h/2 w/2`, rounded down.
    """

    def __init__(self, channels: int, gating: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels, 2, stride=2, bias=False)
        self.phi = nn.Conv2d(gating, channels, 1)
        self.psi = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        return x * enlarge(torch.sigmoid(self.psi(F.relu(self.theta(x) + self.phi(g)))), x)
