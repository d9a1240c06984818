"""DISTS against a literal second implementation, with small made weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.metrics.test_backbones import image, made
from upres.errors import InputError
from upres.metrics.backbones import FILES, Backbone
from upres.metrics.dists import WEIGHTS, Dists, l2_pool


def literal_pool(x: torch.Tensor) -> torch.Tensor:
    """Root of the Hann-weighted mean of squares by torch's grouped convolution."""
    line = torch.hann_window(5, periodic=False)[1:-1]
    window = torch.outer(line, line)
    window = (window / window.sum()).expand(x.shape[1], 1, 3, 3)
    return (nn.functional.conv2d(x * x, window, stride=2, padding=1, groups=x.shape[1]) + 1e-12).sqrt()


def test_the_pooling_is_that_of_torch() -> None:
    x = np.random.default_rng(0).normal(size=(3, 11, 14)).astype(np.float32)
    np.testing.assert_allclose(l2_pool(x), literal_pool(torch.from_numpy(x)[None])[0].numpy(), atol=1e-5)


def test_against_a_literal_implementation() -> None:
    backbone, net, _ = made("vgg", seed=4)
    rng = np.random.default_rng(3)
    first, second = image(72, 80), np.clip(image(72, 80) + rng.integers(-40, 40, (72, 80, 3)), 0, 255).astype(np.uint8)
    maps = []
    for picture in (first, second):
        pixels = (torch.from_numpy(picture) / 255.0).permute(2, 0, 1)[None].float()
        mean, deviation = (torch.tensor(v)[None, :, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        x, found = (pixels - mean) / deviation, [pixels]
        with torch.no_grad():
            for index, layer in enumerate(net):
                x = literal_pool(x) if isinstance(layer, nn.MaxPool2d) else layer(x)
                if index + 1 < len(net) and isinstance(net[index + 1], nn.MaxPool2d):
                    found.append(x)
        maps.append(found)
    count = sum(one.shape[1] for one in maps[0])
    alpha, beta = rng.random(count), rng.random(count)
    expected, place = 1.0, 0
    for one, other in zip(*maps, strict=True):
        for channel in range(one.shape[1]):
            a, b = one[0, channel].double().numpy(), other[0, channel].double().numpy()
            texture = (2 * a.mean() * b.mean() + 1e-6) / (a.mean() ** 2 + b.mean() ** 2 + 1e-6)
            covariance = ((a - a.mean()) * (b - b.mean())).mean()
            structure = (2 * covariance + 1e-6) / (a.var() + b.var() + 1e-6)
            expected -= (alpha[place] * texture + beta[place] * structure) / (alpha.sum() + beta.sum())
            place += 1
    measured = Dists(backbone, alpha, beta, "made")
    assert measured(first, second) == pytest.approx(expected, abs=1e-5) and expected > 0.01
    assert measured(first, first) == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(InputError, match="same shape"):
        measured(first, second[:60])


def test_it_is_called_dists_only_with_the_original_files() -> None:
    backbone, _, _ = made("vgg")
    original = Backbone("vgg", backbone.weights, FILES["vgg"].sha256 or "")
    nothing = np.zeros(0)
    assert Dists(original, nothing, nothing, WEIGHTS.sha256 or "").name == "DISTS"
    assert Dists(backbone, nothing, nothing, WEIGHTS.sha256 or "").name == "feature-distance (dists)"
