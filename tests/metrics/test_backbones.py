"""Backbones against torch, with small made weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from upres.errors import InputError, ModelError
from upres.metrics.backbones import Backbone, conv2d, load_backbone, max_pool
from upres.weights.read import write_safetensors


def image(height: int = 70, width: int = 83, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


class Fire(nn.Module):
    """Literal fire module of SqueezeNet."""

    def __init__(self, into: int, narrow: int, out: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(into, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, out, 1)
        self.expand3x3 = nn.Conv2d(narrow, out, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def literal(name: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    """The layers of torchvision's `features` at small widths, and after which of them LPIPS looks."""

    def conv(into: int, out: int, side: int = 3, stride: int = 1, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(into, out, side, stride, padding), nn.ReLU()]

    if name == "alex":
        pool = nn.MaxPool2d(3, 2)
        layers = [*conv(3, 4, 11, 4, 2), pool, *conv(4, 5, 5, 1, 2), pool, *conv(5, 6), *conv(6, 5), *conv(5, 4)]
        return nn.Sequential(*layers), (1, 4, 7, 9, 11)
    if name == "squeeze":
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        layers = [*conv(3, 4, 3, 2, 0), pool, Fire(4, 2, 3), Fire(6, 2, 3), pool, Fire(6, 2, 4), Fire(8, 2, 4), pool]
        layers += [Fire(8, 3, 4), Fire(8, 3, 5), Fire(10, 3, 5), Fire(10, 3, 5)]
        return nn.Sequential(*layers), (1, 4, 7, 9, 10, 11, 12)
    layers, into, taps = [], 3, []
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for _ in range(count):
            layers += conv(into, 4 + block)
            into = 4 + block
        taps.append(len(layers) - 1)
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers), tuple(taps)


def made(name: str, seed: int = 0) -> tuple[Backbone, nn.Sequential, tuple[int, ...]]:
    torch.manual_seed(seed)
    net, taps = literal(name)
    weights = {f"features.{key}": value.numpy() for key, value in net.state_dict().items()}
    return Backbone(name, weights, "made"), net.eval(), taps


def reference_features(net: nn.Sequential, taps: tuple[int, ...], picture: np.ndarray) -> list[np.ndarray]:
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.from_numpy(picture) / 255.0 - mean) / deviation).permute(2, 0, 1)[None].float()
    found = []
    with torch.no_grad():
        for index, layer in enumerate(net):
            x = layer(x)
            if index in taps:
                found.append(x[0].numpy())
    return found


@pytest.mark.parametrize("name", ["alex", "vgg", "squeeze"])
def test_features_are_those_of_torch(name: str) -> None:
    backbone, net, taps = made(name)
    for size in ((70, 83), (96, 64), (67, 65)):
        picture = image(*size)
        ours, theirs = backbone.features(picture), reference_features(net, taps, picture)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
    assert not backbone.original
    with pytest.raises(InputError, match="needs a larger picture"):
        backbone.features(image(4, 4)[:2, :2])


def test_convolution_in_blocks_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x, weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 20, 17), (5, 3, 3, 3), (5,)))
    whole = conv2d(x, weight, bias, 2, 1)
    monkeypatch.setattr("upres.metrics.backbones._BLOCK_VALUES", 600)
    np.testing.assert_allclose(conv2d(x, weight, bias, 2, 1), whole, atol=1e-5)
    expected = torch.nn.functional.conv2d(*(torch.from_numpy(one) for one in (x[None], weight, bias)), 2, 1)
    np.testing.assert_allclose(whole, expected[0].numpy(), atol=1e-4)


def test_pooling_at_the_border() -> None:
    x = np.random.default_rng(0).normal(size=(2, 8, 11)).astype(np.float32)
    for whole in (True, False):
        expected = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, ceil_mode=not whole).numpy()
        np.testing.assert_array_equal(max_pool(x, 3, whole=whole), expected)


def test_files_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no alexnet-owt-7be5be79\.pth; put it there \(SHA-256 7be5"):
        load_backbone("alex", tmp_path)
    write_safetensors(tmp_path / "alexnet-owt-7be5be79.pth", {"a": np.zeros(3, np.float32)}, {})
    with pytest.raises(ModelError, match=r"is no alex of torchvision: features\.0\.weight"):
        load_backbone("alex", tmp_path)
