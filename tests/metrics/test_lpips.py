"""LPIPS against a literal second implementation, with small made weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.metrics.test_backbones import image, made, reference_features
from upres.errors import InputError
from upres.metrics.backbones import FILES, Backbone
from upres.metrics.lpips import LINEAR, Lpips
from upres.weights.read import read_weights


@pytest.mark.parametrize("name", ["alex", "vgg", "squeeze"])
def test_against_a_literal_implementation(name: str) -> None:
    backbone, net, taps = made(name)
    rng = np.random.default_rng(3)
    first, second = image(72, 80), np.clip(image(72, 80) + rng.integers(-40, 40, (72, 80, 3)), 0, 255).astype(np.uint8)
    features = [reference_features(net, taps, picture) for picture in (first, second)]
    weights = tuple(rng.random(len(layer)).astype(np.float32) for layer in features[0])
    expected = 0.0
    for one, other, weight in zip(*features, weights, strict=True):  # equation 1, pixel by pixel
        pixels = []
        for y in range(one.shape[1]):
            for x in range(one.shape[2]):
                a, b = one[:, y, x].astype(float), other[:, y, x].astype(float)
                a, b = a / (np.linalg.norm(a) + 1e-10), b / (np.linalg.norm(b) + 1e-10)
                pixels.append(float((weight * (a - b) ** 2).sum()))
        expected += np.mean(pixels)
    measured = Lpips(backbone, weights, "made")
    assert measured(first, second) == pytest.approx(expected, rel=1e-4) and expected > 0.01
    assert measured(first, first) == 0.0 and measured(first, second) == pytest.approx(measured(second, first), rel=1e-5)
    with pytest.raises(InputError, match="same shape"):
        measured(first, second[:60])


def test_it_is_called_lpips_only_with_the_original_files() -> None:
    backbone, _, _ = made("alex")
    original = Backbone("alex", backbone.weights, FILES["alex"].sha256 or "")
    assert Lpips(original, (), LINEAR["alex"].sha256 or "").name == "LPIPS (alex)"
    assert Lpips(original, (), "other").name == "feature-distance (alex)"
    assert Lpips(backbone, (), LINEAR["alex"].sha256 or "").name == "feature-distance (alex)"


def test_the_published_weights_fit_the_layers(assets: Path) -> None:
    for name, channels in (
        ("alex", (64, 192, 384, 256, 256)),
        ("vgg", (64, 128, 256, 512, 512)),
        ("squeeze", (64, 128, 256, 384, 384, 512, 512)),
    ):
        state = read_weights(assets / "weights" / "perceptual" / LINEAR[name].name)
        assert tuple(state[f"lin{index}.model.1.weight"].size for index in range(len(state))) == channels
        assert len(channels) == len(made(name)[0].features(image()))
