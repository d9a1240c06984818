"""The published measures as a loss: which weights they take, from where, and that a run's record names them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from upres.errors import ModelError, UsageError  # noqa: E402
from upres.metrics.lpips import LINEAR  # noqa: E402
from upres.system.files import sha256_of  # noqa: E402
from upres.training import pretrained  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.losses import lpips  # noqa: E402
from upres.training.losses.feature_files import random_features  # noqa: E402
from upres.training.losses.measures import check_measure, open_measure, unweighted  # noqa: E402
from upres.training.recipes import compact_x4  # noqa: E402

_SQUEEZE = "squeezenet1_1-torchvision"


@pytest.fixture
def published(assets: Path, tmp_path: Path) -> Path:
    shutil.copy(assets / "weights/perceptual/lpips_lin_v0.1_squeeze.pth", tmp_path)
    return tmp_path


def test_lpips_as_a_loss_is_lpips(published: Path) -> None:
    net = random_features(_SQUEEZE)
    measure, sha256 = open_measure("lpips", net, published)
    assert sha256 == LINEAR["squeeze"].sha256
    sr, hr = torch.rand((2, 2, 3, 48, 48), generator=torch.Generator().manual_seed(1)).unbind()
    expected = lpips.distance(net, sr, hr, lpips.load_linear(published / LINEAR["squeeze"].name))
    torch.testing.assert_close(measure(net, sr, hr), expected)
    assert not torch.allclose(unweighted("lpips")(net, sr, hr), expected)


def test_a_run_takes_the_measure_and_records_its_weights(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_features(_SQUEEZE)
    monkeypatch.setattr(pretrained, "fetch_features", lambda name, source: net)
    changes = ["feature_weight=0.1", f"features={_SQUEEZE}", "features_otherwise=", "feature_distance=lpips"]
    config = change_config(compact_x4(), changes)
    pretrained.check_names(config)
    told: list[str] = []
    features = pretrained.open_features(config, published, Ranks(), told.append)
    assert sha256_of(published / LINEAR["squeeze"].name) in features.identity and "lpips" in told[0]
    sr, hr = torch.rand((2, 2, 3, 48, 48), generator=torch.Generator().manual_seed(1)).unbind()
    sr.requires_grad_()
    loss = features.distance(sr, hr)
    assert features.measure is not None
    torch.testing.assert_close(loss, features.measure(net, sr, hr).mean())
    loss.backward()
    assert sr.grad is not None and float(sr.grad.abs().sum()) > 0.0


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`feature_distance=dists` needs features=vgg16, got vgg19"):
        check_measure("dists", "vgg19")
    config = dataclasses.replace(compact_x4(), feature_weight=1.0, feature_distance="lpips")
    with pytest.raises(UsageError, match=r"needs features=vgg16 or squeezenet1_1-torchvision, got vgg19"):
        pretrained.check_names(config)
    with pytest.raises(UsageError, match=r"cannot be combined with feature_distance=lpips"):
        change_config(compact_x4(), ["feature_distance=lpips", "feature_layers=relu1"])
    with pytest.raises(ModelError, match=r"has no lpips_lin_v0\.1_squeeze\.pth; put it there"):
        open_measure("lpips", random_features(_SQUEEZE), tmp_path)
