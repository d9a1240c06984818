"""Reference networks as plain torch modules, written from the papers' figures and the key names of published files.

RRDBNet: Wang et al., "ESRGAN" (2018), figures 3 and 4; the pixel-unshuffle in front: Wang et al., "Real-ESRGAN" (2021),
section 3.2. SRVGGNetCompact: Real-ESRGAN's small networks (a chain of 3x3 convolutions and PReLUs, pixel shuffle, plus
the enlarged input). They share nothing with `upres` and are what the engines are compared with.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(into: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(into, out, 3, padding=1)


class SRVGGNetCompact(nn.Module):
    def __init__(self, colors: int = 3, width: int = 64, convs: int = 16, scale: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(colors, width), nn.PReLU(width)]
        for _ in range(convs):
            layers += [_conv(width, width), nn.PReLU(width)]
        layers.append(_conv(width, colors * scale**2))
        self.body = nn.ModuleList(layers)
        self.scale = scale

    def forward(self, lr: Tensor) -> Tensor:
        value = lr
        for layer in self.body:
            value = layer(value)
        return F.pixel_shuffle(value, self.scale) + F.interpolate(lr, scale_factor=self.scale, mode="nearest")


class _Dense(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(width, growth)
        self.conv2 = _conv(width + growth, growth)
        self.conv3 = _conv(width + 2 * growth, growth)
        self.conv4 = _conv(width + 3 * growth, growth)
        self.conv5 = _conv(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return self.conv5(torch.cat(seen, 1)) * 0.2 + x


class _Block(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class RRDBNet(nn.Module):
    """`ups` upsamplings by 2 after a pixel-unshuffle by `unshuffle`: the scale is 2**ups / unshuffle."""

    def __init__(
        self, colors: int = 3, width: int = 64, blocks: int = 23, growth: int = 32, ups: int = 2, unshuffle: int = 1
    ) -> None:
        super().__init__()
        self.unshuffle = unshuffle
        self.conv_first = _conv(colors * unshuffle**2, width)
        self.body = nn.ModuleList(_Block(width, growth) for _ in range(blocks))
        self.conv_body = _conv(width, width)
        self.ups = ups
        for number in range(1, ups + 1):
            self.add_module(f"conv_up{number}", _conv(width, width))
        self.conv_hr = _conv(width, width)
        self.conv_last = _conv(width, colors)

    def forward(self, lr: Tensor) -> Tensor:
        first = self.conv_first(F.pixel_unshuffle(lr, self.unshuffle))
        value = first
        for block in self.body:
            value = block(value)
        value = first + self.conv_body(value)
        for number in range(1, self.ups + 1):
            value = F.leaky_relu(
                getattr(self, f"conv_up{number}")(F.interpolate(value, scale_factor=2, mode="nearest")), 0.2
            )
        return self.conv_last(F.leaky_relu(self.conv_hr(value), 0.2))


def randomized(module: nn.Module, seed: int, gain: float = 1.0) -> nn.Module:
    """The module in eval mode with seeded weights that keep the size of a signal through many layers; slopes differ by
    channel.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim == 4:
                spread = gain / (parameter[0].numel() ** 0.5)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
            else:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 0.5)
    return module.eval()


def state_of(module: nn.Module) -> dict[str, object]:
    """The module's parameters as numpy arrays by name."""
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def old_esrgan_keys(state: dict[str, object], blocks: int, ups: int) -> dict[str, object]:
    """BasicSR's names into those of the ESRGAN files of 2018 (`model.0`, `model.1.sub.N.RDB1.conv1.0`, ...)."""
    top = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}"}
    top |= {"conv_hr": f"model.{2 + 3 * ups}", "conv_last": f"model.{4 + 3 * ups}"}
    top |= {f"conv_up{i}": f"model.{3 * i}" for i in range(1, ups + 1)}
    renamed: dict[str, object] = {}
    for key, array in state.items():
        parts = key.split(".")
        if parts[0] == "body":
            renamed[f"model.1.sub.{parts[1]}.{parts[2].upper()}.{parts[3]}.0.{parts[4]}"] = array
        else:
            renamed[f"{top[parts[0]]}.{parts[1]}"] = array
    return renamed


def esrgan_keys(state: dict[str, object]) -> dict[str, object]:
    """BasicSR's names into those of ESRGAN's own repository (`RRDB_trunk.N.RDB1.conv1`, `trunk_conv`, `upconv1`,
    `HRconv`).
    """
    renamed: dict[str, object] = {}
    for key, array in state.items():
        parts = key.split(".")
        if parts[0] == "body":
            name = f"RRDB_trunk.{parts[1]}.{parts[2].upper()}.{parts[3]}.{parts[4]}"
        else:
            stem = {"conv_body": "trunk_conv", "conv_hr": "HRconv"}.get(parts[0], parts[0].replace("conv_up", "upconv"))
            name = f"{stem}.{parts[1]}"
        renamed[name] = array
    return renamed
