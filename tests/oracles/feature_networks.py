"""The feature networks put together from torch's own modules, as their authors publish them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.training.losses.feature_families import random_state  # noqa: E402

_MEAN, _DEVIATION = (
    torch.tensor([0.485, 0.456, 0.406])[:, None, None],
    torch.tensor([0.229, 0.224, 0.225])[:, None, None],
)
_CAFFE_MEAN = torch.tensor([104.0, 117.0, 123.0])[:, None, None]  # of B, G, R
Plain = Callable[[Tensor], dict[str, Tensor]]


@functools.cache
def tensors(name: str) -> Mapping[str, Tensor]:
    """A random state with biases that are not 0."""
    generator = torch.Generator().manual_seed(1)
    made = {key: torch.from_numpy(value) for key, value in random_state(name, 1).items()}
    fixed = ("0.bias", "conv0.bias")
    return {
        k: v if v.dim() == 4 or k in fixed else torch.randn(v.shape, generator=generator) * 0.1 for k, v in made.items()
    }


def outputs(net: nn.Sequential, x: Tensor, at: Mapping[str, int]) -> dict[str, Tensor]:
    """What comes out of the layers of `net` that `at` numbers; copied, as the next layer may work in place."""
    found: list[Tensor] = []
    for layer in net[: max(at.values()) + 1]:
        x = layer(x)
        found.append(x.clone())
    return {name: found[index] for name, index in at.items()}


class TorchvisionVGG(nn.Module):
    """torchvision's `features` of configurations E (VGG-19) and D (VGG-16), in-place ReLUs included."""

    def __init__(self, blocks: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 3
        for width, count in zip((64, 128, 256, 512, 512), blocks, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(last, width, 3, padding=1), nn.ReLU(inplace=True)]
                last = width
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)


class Fire(nn.Module):
    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


def squeezenet() -> nn.Sequential:
    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64),
        pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip


_SQUEEZE_AT = {
    "conv1": 0,
    "relu1": 1,
    "relu2": 3,
    "relu3": 4,
    "relu4": 6,
    "relu5": 7,
    "relu6": 9,
    "relu7": 10,
    "relu8": 11,
    "relu9": 12,
}


def plain_squeezenet(x: Tensor) -> dict[str, Tensor]:
    net = squeezenet()
    net.load_state_dict(tensors("squeezenet1_1"))
    return outputs(net, x.flip(1) * 255.0 - _CAFFE_MEAN, _SQUEEZE_AT)


class TorchvisionSqueezenet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = squeezenet()


def plain_torchvision_squeezenet(x: Tensor) -> dict[str, Tensor]:
    net = TorchvisionSqueezenet()
    net.load_state_dict(tensors("squeezenet1_1-torchvision"))
    return outputs(net.features, (x - _MEAN) / _DEVIATION, _SQUEEZE_AT)


def plain_vgg19(x: Tensor) -> dict[str, Tensor]:
    net = TorchvisionVGG((2, 2, 4, 4, 4))
    net.load_state_dict(tensors("vgg19"))
    at = {
        "conv1_1": 0,
        "conv1_2": 2,
        "conv2_2": 7,
        "relu2_2": 8,
        "conv3_1": 10,
        "conv3_4": 16,
        "conv4_4": 25,
        "conv5_1": 28,
        "conv5_4": 34,
    }
    return outputs(net.features, (x - _MEAN) / _DEVIATION, at)


def plain_vgg16(x: Tensor) -> dict[str, Tensor]:
    net = TorchvisionVGG((2, 2, 3, 3, 3))
    net.load_state_dict(tensors("vgg16"))
    # those of LPIPS, and one before
    at = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29, "conv5_3": 28}
    return outputs(net.features, (x - _MEAN) / _DEVIATION, at)


def plain_conv3_1(x: Tensor) -> dict[str, Tensor]:
    """In one nn.Sequential the layers get the numbers that the file has."""

    def conv(channels: int, width: int) -> list[nn.Module]:
        return [nn.ReflectionPad2d(1), nn.Conv2d(channels, width, 3), nn.ReLU()]

    def pool() -> nn.MaxPool2d:
        return nn.MaxPool2d(2, 2, ceil_mode=True)

    layers = [
        nn.Conv2d(3, 3, 1),
        *conv(3, 64),
        *conv(64, 64),
        pool(),
        *conv(64, 128),
        *conv(128, 128),
        pool(),
        *conv(128, 256),
    ]
    net = nn.Sequential(*layers)
    net.load_state_dict(tensors("vgg19-conv3_1"))
    at = {"conv1_1": 2, "relu1_1": 3, "conv1_2": 5, "conv2_1": 9, "conv2_2": 12, "conv3_1": 16, "relu3_1": 17}
    return outputs(net, x, at)


def plain_16x(x: Tensor) -> dict[str, Tensor]:
    state = tensors("vgg19-16x")
    found: dict[str, Tensor] = {}
    x = F.conv2d(x, state["conv0.weight"], state["conv0.bias"])
    for number in ("11", "12", "21", "22", "31", "32", "33", "34", "41", "42", "43", "44", "51"):
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), state[f"conv{number}.weight"], state[f"conv{number}.bias"])
        found[f"conv{number[0]}_{number[1]}"] = x
        x = F.relu(x)
        found[f"relu{number[0]}_{number[1]}"] = x
        if number in ("12", "22", "34", "44"):
            x = F.max_pool2d(x, 2)
    return found


PLAIN: dict[str, Plain] = {
    "vgg19": plain_vgg19,
    "vgg16": plain_vgg16,
    "vgg19-conv3_1": plain_conv3_1,
    "vgg19-16x": plain_16x,
    "squeezenet1_1": plain_squeezenet,
    "squeezenet1_1-torchvision": plain_torchvision_squeezenet,
}
