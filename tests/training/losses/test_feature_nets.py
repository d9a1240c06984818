"""Each feature network against the same layers put together from torch's own modules, as its authors publish them."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402

from tests.oracles.feature_networks import PLAIN, tensors  # noqa: E402
from upres.errors import InputError, UsageError  # noqa: E402
from upres.training.losses.feature_families import FAMILIES  # noqa: E402
from upres.training.losses.feature_nets import FeatureNetwork  # noqa: E402


@functools.cache
def network(name: str, *, precision: torch.dtype = torch.float32) -> FeatureNetwork:
    return FeatureNetwork(name, {key: value.numpy() for key, value in tensors(name).items()}, "none", precision)


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


def test_unknown_layers_and_shapes_are_refused_by_name() -> None:
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
