"""Feature networks for the perceptual loss and for validation: which exist, where their files come from, and how they
are loaded.

The package ships none of them. A file is given by the user, as a path or in a folder, or comes from the cache, or is
downloaded and verified (`upres/system/download.py`). Files are read without torch's unpickler and without torchvision.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from upres.errors import ModelError, UsageError
from upres.system.download import Source, cache_folder, fetch
from upres.system.files import sha256_of
from upres.training.losses import formulas
from upres.training.losses.feature_families import random_state, recognize
from upres.training.losses.feature_nets import FeatureNetwork as FeatureNetwork
from upres.weights.read import read_weights

RANDOM = "random weights"  # in place of a SHA-256


@dataclass(frozen=True, slots=True)
class FeatureCard:
    """A feature network and its published file.

    default_layers: layer -> weight in a perceptual loss that names no layers. ESRGAN's loss (conv5_4 of vgg19, weight
    1) is 0.8 to 1.0 in
        published logs. The weights of vgg19-conv3_1, vgg19-16x and squeezenet1_1 give about as much for a x4 bicubic
        enlargement of the repository's example photograph, so that they can be exchanged. Those of the last two are not
        measured.
    """

    name: str
    file: str
    urls: tuple[str, ...]
    sha256: str
    bytes: int
    license: str
    default_layers: Mapping[str, float] = field(hash=False)
    note: str

    def source(self) -> Source:
        """The file, as `upres.system.download.fetch` takes it."""
        return Source(name=self.file, urls=self.urls, sha256=self.sha256, bytes=self.bytes, license=self.license)


_TORCHVISION = "https://download.pytorch.org/models"
_CARDS = (
    FeatureCard(
        name="vgg19",
        file="vgg19-dcbb9e9d.pth",
        urls=(f"{_TORCHVISION}/vgg19-dcbb9e9d.pth",),
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        bytes=574_673_361,
        license="BSD-3-Clause (torchvision)",
        default_layers={"conv5_4": 1.0},
        note="the network of ESRGAN's loss (Wang et al., ECCVW 2018, section 3.3)",
    ),
    FeatureCard(
        name="vgg19-conv3_1",
        file="vgg_normalised_conv3_1.pth",
        urls=(
            "https://raw.githubusercontent.com/pietrocarbo/deep-transfer/30b40b175d0d4afa19789fd57b5439aed125c1a5"
            "/models/autoencoder_vgg19/vgg19_3/vgg_normalised_conv3_1.pth",
        ),
        sha256="4ffff49ad5cdc3337374b947918f35f903fcb0898b0b5eebfcbd601b99fc3929",
        bytes=2_223_308,
        license="none stated",
        default_layers={"conv3_1": 0.3},
        note="VGG-19 up to its fifth convolution, scaled to a mean activation of 1: texture, no objects",
    ),
    FeatureCard(
        name="vgg19-16x",
        file="vgg19_16x_small_5SE.pth",
        urls=(
            "https://raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/75c1b81c1dbea11c96d3fb04e96f207dee16dcbb"
            "/trained_models/wct_se_16x_new/20191109-211322_E20.pth",
        ),
        sha256="9417c34d0d8d621bc6af78be745f1b8d30f5f210efa01e50655c60eb3770816b",
        bytes=3_862_288,
        license="MIT",
        default_layers={"conv5_1": 0.2},
        note="VGG-19 up to conv5_1 with a sixteenth of its weights, trained to reconstruct pictures (Wang et al., CVPR "
        "2020)",
    ),
    FeatureCard(
        name="squeezenet1_1",
        file="squeezenet1_1_features.pth",
        urls=(),
        sha256="3052cccf5c8d3d851fa025065acb938985258dbade181d2ce3528946c8136236",
        bytes=2_906_197,
        license="MIT",
        default_layers={"fire9": 0.0125},
        note="small, fast and unrelated to VGG: an independent judge of a VGG loss. Trained in Caffe: LPIPS has no "
        "weights for it",
    ),
    FeatureCard(
        name="squeezenet1_1-torchvision",
        file="squeezenet1_1-b8a52dc0.pth",
        urls=(f"{_TORCHVISION}/squeezenet1_1-b8a52dc0.pth",),
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        bytes=4_958_839,
        license="BSD-3-Clause (torchvision)",
        default_layers={"fire9": 1.0},
        note="the network of LPIPS-squeeze",
    ),
    FeatureCard(
        name="vgg16",
        file="vgg16-397923af.pth",
        urls=(f"{_TORCHVISION}/vgg16-397923af.pth",),
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        bytes=553_433_881,
        license="BSD-3-Clause (torchvision)",
        default_layers={"conv5_3": 1.0},
        note="the network of LPIPS-vgg",
    ),
)
FEATURES: dict[str, FeatureCard] = {card.name: card for card in _CARDS}


def load_features(path: Path, *, precision: torch.dtype = torch.float32) -> FeatureNetwork:
    """Load a feature network from a file, recognizing its family by names and shapes.

    Raises `ModelError` for any other file.
    """
    state = read_weights(path)
    return FeatureNetwork(recognize(state, str(path)), state, _sha256(path), precision)


def random_features(name: str, seed: int = 0, *, precision: torch.dtype = torch.float32) -> FeatureNetwork:
    """The feature network `name` with random weights from its own generator, for estimates and tests.

    Raises `UsageError`.
    """
    return FeatureNetwork(card_of(name).name, random_state(name, seed), RANDOM, precision)


def fetch_features(name: str, source: Path | None, *, precision: torch.dtype = torch.float32) -> FeatureNetwork:
    """The feature network `name`.

    source: its file, whose SHA-256 is recorded but not checked; a folder with the published file, which is verified; or
    None: the user's
        cache, else a download, both verified.

    Raises `UsageError` for an unknown name, `ModelError` with a remedy if the network is unavailable.
    """
    card = card_of(name)
    if source is None:
        path = _fetched(card)
    elif source.is_dir():
        path = _in_folder(card, source)
    else:
        path = source
    network = load_features(path, precision=precision)
    if network.name != name:
        raise ModelError(
            f"feature network {name}: {path} holds {network.name}. Give the file {card.file}, or choose {network.name}"
        )
    return network


def card_of(name: str) -> FeatureCard:
    """The card of the network `name`. Raises `UsageError` naming the closest one."""
    if name not in FEATURES:
        near = difflib.get_close_matches(name, FEATURES, n=1, cutoff=0.5)
        raise UsageError(
            f"unknown feature network {name!r}. {f'Did you mean {near[0]}? ' if near else ''}There are: "
            f"{', '.join(FEATURES)}"
        )
    return FEATURES[name]


def _fetched(card: FeatureCard) -> Path:
    try:
        return fetch(card.source())
    except ModelError as error:
        if card.urls:
            raise ModelError(
                f"feature network {card.name}: {error}; or give `features`, the file or its folder"
            ) from error
        raise ModelError(
            f"feature network {card.name}: its file has no known address. Put {card.file} ({card.bytes} bytes, sha256 "
            f"{card.sha256}) "
            f"into {cache_folder()}, or give `features`, the file or its folder"
        ) from error


def _in_folder(card: FeatureCard, folder: Path) -> Path:
    path = folder / card.file
    if not path.is_file():
        raise ModelError(
            f"feature network {card.name}: the folder {folder} has no {card.file}. Put it there, or give the file "
            "itself"
        )
    found = _sha256(path)
    if found != card.sha256:
        raise ModelError(
            f"feature network {card.name}: {path} has the SHA-256 {found}, expected {card.sha256}. Download it again, "
            "or give the file "
            "itself to use it as it is"
        )
    return path


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ModelError(
            f"feature network file {path}: it cannot be read ({error.strerror or error}). Check its permissions"
        ) from error


@dataclass(frozen=True)
class Features:
    """The feature network of the loss.

    network: None if no term needs one.
    layers: layer -> weight.
    identity: its name, the SHA-256 of its file, and the layers.
    measure: takes the place of the L1 distance at `layers`.
    """

    network: FeatureNetwork | None
    layers: Mapping[str, float]
    identity: str
    measure: Callable[[FeatureNetwork, Tensor, Tensor], Tensor] | None = None

    def distance(self, sr: Tensor, hr: Tensor) -> Tensor:
        """The perceptual loss of `sr` against `hr`, both `b 3 h w` in [0,1]; no gradient flows to `hr`."""
        assert self.network is not None
        if self.measure is not None:
            return self.measure(self.network, sr, hr.detach()).mean()
        with torch.no_grad():
            wanted = self.network(hr, self.layers)
        return formulas.perceptual(self.network(sr, self.layers), wanted, self.layers)
