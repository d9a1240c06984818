"""DISTS in torch against the measure of `upres.metrics.dists`, which has a literal oracle of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import InputError, ModelError, UsageError  # noqa: E402
from upres.metrics.backbones import Backbone  # noqa: E402
from upres.metrics.dists import CHANNELS, Dists  # noqa: E402
from upres.metrics.dists import l2_pool as l2_pool_of_the_metric  # noqa: E402
from upres.training.losses.dists import ChannelWeights, distance, l2_pool, load_channel_weights  # noqa: E402
from upres.training.losses.feature_families import random_state  # noqa: E402
from upres.training.losses.feature_files import random_features  # noqa: E402


def test_the_pooling_is_that_of_the_measure() -> None:
    x = torch.randn((2, 3, 11, 14), generator=torch.Generator().manual_seed(0))
    expected = np.stack([l2_pool_of_the_metric(one.numpy()) for one in x])
    np.testing.assert_allclose(l2_pool(x).numpy(), expected, atol=1e-5)


def test_equals_the_measure_and_has_its_gradient() -> None:
    rng = np.random.default_rng(2)
    hr = rng.integers(0, 256, (2, 33, 40, 3), dtype=np.uint8)
    sr = np.clip(hr.astype(int) + rng.integers(-30, 31, hr.shape), 0, 255).astype(np.uint8)
    alpha, beta = rng.random(sum(CHANNELS)), rng.random(sum(CHANNELS))
    state = random_state("vgg16", 4)
    measured = Dists(Backbone("vgg", state, "made"), alpha, beta, "made")
    weights = ChannelWeights(torch.from_numpy(alpha).float(), torch.from_numpy(beta).float())
    net = random_features("vgg16", seed=4)
    x, y = (torch.from_numpy(z).permute(0, 3, 1, 2) / 255.0 for z in (sr, hr))
    x.requires_grad_()
    found = distance(net, x, y, weights)
    assert found.tolist() == pytest.approx([measured(a, b) for a, b in zip(sr, hr, strict=True)], abs=1e-5)
    assert min(found.tolist()) > 0.005
    (gradient,) = torch.autograd.grad(found.sum(), x)
    step = 1e-3 * gradient / gradient.norm()
    with torch.no_grad():
        rise = (distance(net, x + step, y, weights) - distance(net, x - step, y, weights)).sum() / 2e-3
    assert float(rise) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_equal_pictures_are_at_zero_and_their_gradient_is_finite() -> None:
    x = torch.zeros((1, 3, 32, 32), requires_grad=True)
    found = distance(random_features("vgg16"), x, torch.zeros_like(x), ChannelWeights.even())
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert float(found.detach()) == pytest.approx(0.0, abs=1e-6) and bool(gradient.isfinite().all())


def test_published_weights_load(assets: Path) -> None:
    weights = load_channel_weights(assets / "weights/perceptual/dists_alpha_beta.pt")
    assert weights.alpha.shape == weights.beta.shape == (sum(CHANNELS),)
    assert float(weights.alpha.min()) >= 0.0


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    picture = torch.zeros(1, 3, 32, 32)
    with pytest.raises(UsageError, match="DISTS measures in vgg16, got vgg19-conv3_1"):
        distance(random_features("vgg19-conv3_1"), picture, picture, ChannelWeights.even())
    with pytest.raises(InputError, match="same shape"):
        distance(random_features("vgg16"), picture, picture[..., 1:], ChannelWeights.even())
    torch.save({"alpha": torch.zeros(3)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no weights of DISTS"):
        load_channel_weights(tmp_path / "w.pt")
