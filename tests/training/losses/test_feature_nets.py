"""Each feature network against the same layers put together from torch's own modules, as its authors publish them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from upres.errors import InputError, UsageError  # noqa: E402
from upres.training.losses.feature_families import FAMILIES, random_state  # noqa: E402
from upres.training.losses.feature_nets import FeatureNetwork  # noqa: E402

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


@functools.cache
def network(name: str, *, precision: torch.dtype = torch.float32) -> FeatureNetwork:
    return FeatureNetwork(name, {key: value.numpy() for key, value in tensors(name).items()}, "none", precision)


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


def picture(height: int, width: int, *, batch: int = 1) -> Tensor:
    return torch.rand((batch, 3, height, width), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_equals_the_layers_of_torch(name: str) -> None:
    x = picture(37, 45, batch=2)  # odd sizes: the pools differ in what they do with the last row
    with torch.no_grad():
        expected = PLAIN[name](x)
        found = network(name)(x, expected)
    assert list(found) == sorted(expected, key=network(name).layers.index)
    for layer, tensor in expected.items():
        if layer.startswith("conv") and name in ("vgg19", "vgg16"):
            assert (tensor < 0).any()
        assert found[layer].dtype == torch.float32 and found[layer].shape == tensor.shape, layer
        assert (found[layer] - tensor).abs().max() < 1e-4 * tensor.abs().max(), layer


def test_the_activation_leaves_the_convolution_before_it_alone() -> None:
    """torchvision's ReLUs work in place: a kept convolution turns into its activation (trap of every VGG loss)."""
    x = picture(16, 16)
    net = network("vgg19")
    found = net(x, ["conv1_2", "relu1_2", "conv2_1"])
    assert (found["conv1_2"] < 0).any()
    assert torch.equal(found["relu1_2"], found["conv1_2"].clamp(min=0))
    assert torch.equal(net(x, ["conv1_2"])["conv1_2"], found["conv1_2"])
    fire = network("squeezenet1_1")(picture(32, 32), ["fire5", "relu5"])
    assert (fire["fire5"] < 0).any() and torch.equal(fire["relu5"], fire["fire5"].clamp(min=0))


def test_frozen_and_always_in_eval_mode() -> None:
    net = network("vgg19-16x")
    around = nn.Sequential(nn.BatchNorm2d(3), net)
    around.train()
    assert around.training and not net.training and not any(module.training for module in net.modules())
    assert sum(p.numel() for p in net.parameters()) == sum(
        int(np.prod(shape)) for shape in FAMILIES["vgg19-16x"].shapes().values()
    )
    x = picture(32, 32).requires_grad_()
    net(x, ["conv5_1", "conv1_2"])["conv5_1"].square().mean().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert all(not p.requires_grad and p.grad is None for p in net.parameters())


@pytest.mark.parametrize("name", ["vgg19-conv3_1", "squeezenet1_1"])
def test_autocast_does_not_reach_it(name: str) -> None:
    x, layers = picture(24, 24), ["conv2_1"] if name.startswith("vgg") else ["fire9"]
    net = network(name)
    outside = net(x, layers)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
        inside = net(x, layers)
    assert inside.keys() == outside.keys()
    assert all(torch.equal(inside[layer], outside[layer]) and inside[layer].dtype == torch.float32 for layer in layers)


def test_bfloat16_on_request_and_nothing_else() -> None:
    x = picture(16, 16).requires_grad_()
    exact = network("vgg19-conv3_1")(x, ["conv1_2"])["conv1_2"].detach()
    coarse = network("vgg19-conv3_1", precision=torch.bfloat16)(x, ["conv1_2"])["conv1_2"]
    coarse.mean().backward()
    assert coarse.dtype == torch.float32 and x.grad is not None and x.grad.dtype == torch.float32
    error = ((coarse - exact).norm() / exact.norm()).item()
    assert 1e-4 < error < 2e-2
    with pytest.raises(UsageError, match=r"compute in torch.float32 or torch.bfloat16, got torch.float16"):
        network("vgg19-conv3_1", precision=torch.float16)


class Calls(TorchFunctionMode):
    """Notes the output channels of every convolution that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.conv2d:
            self.convolutions.append(len(args[1]))
        return func(*args, **(kwargs or {}))


def test_runs_no_further_than_the_deepest_layer() -> None:
    net, x = network("vgg19-conv3_1"), picture(16, 20)

    def convolutions(layers: list[str]) -> list[int]:
        with Calls() as calls:
            net(x, layers)
        return calls.convolutions

    color = 3
    assert convolutions(["conv1_1"]) == convolutions(["relu1_1", "conv1_1"]) == [color, 64]
    assert convolutions(["conv1_1", "conv2_1"]) == [color, 64, 64, 128]
    assert convolutions(["conv3_1"]) == [color, 64, 64, 128, 128, 256]


def test_gray_is_taken_as_three_equal_channels() -> None:
    net, gray = network("vgg19-conv3_1"), picture(16, 20)[:, :1].requires_grad_()
    layer = net.layers[-1]
    found = net(gray, [layer])[layer]
    assert torch.equal(found, net(gray.repeat(1, 3, 1, 1), [layer])[layer])
    found.sum().backward()
    assert gray.grad is not None and gray.grad.shape == gray.shape and gray.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["vgg19-conv3_1", "squeezenet1_1"])
def test_channels_last_is_the_same(name: str) -> None:
    net, x = network(name), picture(21, 34, batch=2)
    layer = net.layers[-1]
    plain = net(x, [layer])[layer]
    for module in (net, copy.deepcopy(net).to(memory_format=torch.channels_last)):
        found = module(x.contiguous(memory_format=torch.channels_last), [layer])[layer]
        assert torch.allclose(found, plain, rtol=1e-4, atol=1e-4 * plain.abs().max().item())


@pytest.mark.parametrize(
    ("name", "layer", "smallest"),
    [
        ("vgg19", "conv3_1", 4), ("vgg19-conv3_1", "conv3_1", 5), ("vgg19-conv3_1", "conv1_1", 2),
        ("vgg19-16x", "conv5_1", 32), ("vgg19-16x", "relu1_1", 2), ("squeezenet1_1", "relu9", 17),
        ("squeezenet1_1", "conv1", 3),
    ],
)  # fmt: skip
def test_too_small_a_picture_is_refused_exactly_where_torch_cannot_go_on(name: str, layer: str, smallest: int) -> None:
    net = network(name)
    steps = FAMILIES[name].steps
    weights = tensors(name)
    accepted: list[int] = []
    possible: list[int] = []
    for size in range(1, smallest + 2):
        x = torch.zeros(1, 3, size, smallest)
        try:
            net(x, [layer])
            accepted.append(size)
        except InputError as error:
            assert f"layer {layer} of feature network {name}" in str(error)
        try:
            for step in steps:
                x = step(x, weights.__getitem__)
                if step.name == layer:
                    break
            possible.append(size)
        except RuntimeError:
            pass
    assert accepted == possible == [smallest, smallest + 1]


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    net = network("vgg19-conv3_1")
    x = picture(16, 16)
    with pytest.raises(
        UsageError, match=r"vgg19-conv3_1 has no layer 'conv5_4'. Its layers: conv1_1, relu1_1, .*, relu3_1$"
    ):
        net(x, ["conv1_1", "conv5_4"])
    with pytest.raises(UsageError, match="name at least one"):
        net(x, [])
    for wrong in (x[:, :2], x[0], (x * 255).to(torch.uint8)):
        with pytest.raises(
            InputError, match=r"needs RGB pictures `b 3 h w` of floats in \[0,1\], at least 2x2 pixels, got"
        ):
            net(wrong, ["conv1_1"])
