"""Where feature networks come from, and that each is fed as its weights expect, on a real photograph."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from upres.errors import ModelError, UsageError  # noqa: E402
from upres.images.io import read_picture  # noqa: E402
from upres.system.download import Source  # noqa: E402
from upres.training.losses import feature_files  # noqa: E402
from upres.training.losses.feature_families import FAMILIES, random_state  # noqa: E402
from upres.training.losses.feature_files import FEATURES, fetch_features, load_features, random_features  # noqa: E402
from upres.training.losses.feature_nets import FeatureNetwork  # noqa: E402
from upres.weights.read import read_weights  # noqa: E402

_SMALL = "vgg19-conv3_1"


def saved(path: Path, name: str = _SMALL, **wrapped: object) -> str:
    """A published file with random weights, as torch writes it; its SHA-256."""
    state = {key: torch.from_numpy(value) for key, value in random_state(name, 5).items()}
    torch.save({**wrapped, "model": state} if wrapped else state, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that passes for the published one."""
    folder = tmp_path / "weights"
    folder.mkdir()
    card = FEATURES[_SMALL]
    sha256 = saved(folder / card.file)
    size = (folder / card.file).stat().st_size
    monkeypatch.setitem(FEATURES, _SMALL, dataclasses.replace(card, sha256=sha256, bytes=size, urls=()))
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    return folder


def test_cards_are_whole() -> None:
    assert list(FEATURES) == [card.name for card in FEATURES.values()] and FEATURES.keys() == FAMILIES.keys()
    assert len({card.file for card in FEATURES.values()}) == len(FEATURES)
    for card in FEATURES.values():
        assert re.fullmatch("[0-9a-f]{64}", card.sha256) and card.bytes > 1e6 and card.license and card.note
        assert card.default_layers and card.default_layers.keys() <= {step.name for step in FAMILIES[card.name].steps}
        assert all(weight > 0 for weight in card.default_layers.values())
        assert all(url.startswith("https://") for url in card.urls)
        if "pytorch.org" in "".join(card.urls):  # torch's hub puts the start of the SHA-256 into its file names
            assert Path(card.file).stem.endswith(f"-{card.sha256[:8]}") and card.urls[0].endswith(card.file)
        assert card.source() == Source(card.file, card.urls, card.sha256, card.bytes, card.license)


def test_a_file_is_recognized_and_its_sha256_recorded(tmp_path: Path) -> None:
    path = tmp_path / "any name.pth"
    sha256 = saved(path)
    net, expected = load_features(path), random_features(_SMALL, 5)
    assert (net.name, net.sha256, expected.sha256) == (_SMALL, sha256, "random weights")
    x = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(x, ["conv3_1"])["conv3_1"], expected(x, ["conv3_1"])["conv3_1"])
    assert load_features(path, precision=torch.bfloat16).precision == torch.bfloat16
    saved(path, "vgg19-16x", epoch=20)
    assert load_features(path).name == "vgg19-16x"  # in a checkpoint, under `model`, as it is published


def test_a_named_file_is_taken_as_it_is(tmp_path: Path) -> None:
    sha256 = saved(tmp_path / "mine.pth")
    assert sha256 != FEATURES[_SMALL].sha256
    assert fetch_features(_SMALL, tmp_path / "mine.pth").sha256 == sha256
    with pytest.raises(
        ModelError, match=r"feature network vgg19: .*mine.pth holds vgg19-conv3_1. Give the file vgg19-dcbb9e9d.pth, or"
    ):
        fetch_features("vgg19", tmp_path / "mine.pth")
    with pytest.raises(ModelError, match="no such file"):
        fetch_features(_SMALL, tmp_path / "none.pth")


def test_the_file_of_a_folder_is_verified(published: Path) -> None:
    assert fetch_features(_SMALL, published).sha256 == FEATURES[_SMALL].sha256
    with pytest.raises(
        ModelError, match=r"feature network vgg19: the folder .*weights has no vgg19-dcbb9e9d.pth. Put it there"
    ):
        fetch_features("vgg19", published)
    path = published / FEATURES[_SMALL].file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(
        ModelError, match=rf"{path.name} has the SHA-256 [0-9a-f]{{64}}, expected {FEATURES[_SMALL].sha256}. Download"
    ):
        fetch_features(_SMALL, published)


def test_the_cache_is_asked_first(published: Path, tmp_path: Path) -> None:
    file = FEATURES[_SMALL].file
    with pytest.raises(
        ModelError, match=rf"its file has no known address. Put {file} \(\d+ bytes, sha256 [0-9a-f]+\) into .*cache, or"
    ):
        fetch_features(_SMALL, None)
    (tmp_path / "cache").mkdir(exist_ok=True)
    (tmp_path / "cache" / file).write_bytes((published / file).read_bytes())
    assert fetch_features(_SMALL, None).sha256 == FEATURES[_SMALL].sha256


def test_a_failed_download_says_what_it_was_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Source] = []

    def fetch(source: Source) -> Path:
        asked.append(source)
        raise ModelError("no network")

    monkeypatch.setattr(feature_files, "fetch", fetch)
    with pytest.raises(
        ModelError, match=r"feature network vgg19: no network; or give `features`, the file or its folder"
    ):
        fetch_features("vgg19", None)
    assert asked == [FEATURES["vgg19"].source()]


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    for ask in (lambda: fetch_features("vgg19-conv3", None), lambda: random_features("vgg19-conv3")):
        with pytest.raises(
            UsageError, match=r"unknown feature network 'vgg19-conv3'. Did you mean vgg19-conv3_1\? There are: vgg19, "
        ):
            ask()


@pytest.fixture(scope="session")
def photograph(example_photo: Path) -> Tensor:
    """1 3 256 256 of the example photograph: a face, blue, orange and white."""
    pixels = np.ascontiguousarray(read_picture(example_photo).pixels[:256, 64:320])
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def published_network(name: str, assets: Path) -> FeatureNetwork:
    net = fetch_features(name, assets / "weights" / "perceptual")
    assert net.sha256 == FEATURES[name].sha256
    return net


def test_published_vgg_is_scaled_to_unit_activations(assets: Path, photograph: Tensor) -> None:
    """Its weights were scaled so that the mean activation over ImageNet is 1: any other input range shows at once."""
    net = published_network(_SMALL, assets)
    for activations in net(photograph, [layer for layer in net.layers if layer.startswith("relu")]).values():
        assert 0.5 < activations.mean().item() < 2.0
    assert net(photograph * 255, ["relu3_1"])["relu3_1"].mean().item() > 100


@pytest.mark.slow
def test_published_small_vgg_sees_what_the_large_one_sees(assets: Path, photograph: Tensor) -> None:
    """Its file has 1x1 heads that imitate the full network's activations: they confirm each other's colors, range,
    padding and pools.
    """
    large, small = published_network(_SMALL, assets), published_network("vgg19-16x", assets)
    state = read_weights(assets / "weights" / "perceptual" / FEATURES["vgg19-16x"].file)
    heads = {key: torch.from_numpy(value) for key, value in state.items() if "aux" in key}
    layers = ["relu1_1", "relu2_1", "relu3_1"]

    def correlation(x: Tensor, layer: str) -> float:
        number = layer.removeprefix("relu").replace("_", "")
        seen = F.relu(
            F.conv2d(small(x, [layer])[layer], heads[f"conv{number}_aux.weight"], heads[f"conv{number}_aux.bias"])
        )
        return torch.corrcoef(torch.stack([seen.flatten(), large(photograph, [layer])[layer].flatten()]))[0, 1].item()

    right = [correlation(photograph, layer) for layer in layers]
    swapped = [correlation(photograph.flip(1), layer) for layer in layers]
    shifted = [correlation(photograph.roll(1, dims=3), layer) for layer in layers]
    assert right[0] > 0.97 and right[1] > 0.88 and right[2] > 0.8
    assert all(r > s for r, s in zip(right, swapped, strict=True)) and all(
        r > s for r, s in zip(right, shifted, strict=True)
    )


def test_published_squeezenet_lives_in_0_to_255(assets: Path, photograph: Tensor) -> None:
    """Fed as torchvision's own training, its biases drown the picture: the last layer hardly tells a photograph from
    its mean color.
    """
    net = published_network("squeezenet1_1", assets)
    state = read_weights(assets / "weights" / "perceptual" / FEATURES["squeezenet1_1"].file)
    wrong = FeatureNetwork(
        "squeezenet1_1-torchvision", {f"features.{key}": value for key, value in state.items()}, "none"
    )
    flat = photograph.mean((2, 3), keepdim=True).expand_as(photograph)

    def likeness(network: FeatureNetwork) -> float:
        return (
            F.cosine_similarity(network(photograph, ["relu9"])["relu9"], network(flat, ["relu9"])["relu9"], dim=1)
            .mean()
            .item()
        )

    assert likeness(net) < 0.2 and likeness(wrong) > 0.5
