"""The networks in whose features LPIPS and DISTS measure, run by numpy: torchvision's AlexNet, VGG-16, SqueezeNet 1.1.

Only convolutions, ReLU and pooling are needed, so that no engine takes part and a figure is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upres.errors import InputError, ModelError
from upres.system.download import Source, fetch
from upres.system.files import sha256_of
from upres.weights.read import read_weights

Array = NDArray[np.float32]  # features: c h w
Pool = Callable[[Array], Array]

# ImageNet's mean and deviation, which torchvision's networks expect to be taken off. LPIPS states the same for [-1, 1].
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)[:, None, None]
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)[:, None, None]
_BLOCK_VALUES = 1 << 24  # of unfolded patches at a time: 64 MB
_URL = "https://download.pytorch.org/models"
_LICENSE = "BSD-3-Clause (torchvision)"

FILES = {
    "alex": Source(
        "alexnet-owt-7be5be79.pth", (f"{_URL}/alexnet-owt-7be5be79.pth",),
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", 244_408_911, _LICENSE,
    ),
    "vgg": Source(
        "vgg16-397923af.pth", (f"{_URL}/vgg16-397923af.pth",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", 553_433_881, _LICENSE,
    ),
    "squeeze": Source(
        "squeezenet1_1-b8a52dc0.pth", (f"{_URL}/squeezenet1_1-b8a52dc0.pth",),
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b", 4_958_839, _LICENSE,
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution with ReLU, or a `fire` of SqueezeNet; pooling before it; whether its output is a feature."""

    key: str
    tap: bool = False
    pool: bool = False
    stride: int = 1
    padding: int = 1
    fire: bool = False


def _vgg16() -> tuple[_Layer, ...]:
    """Taps relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
    layers: list[_Layer] = []
    index = 0
    for block, count in enumerate((2, 2, 3, 3, 3)):
        for place in range(count):
            layers.append(_Layer(f"features.{index}", tap=place == count - 1, pool=block > 0 and place == 0))
            index += 2
        index += 1  # the pooling
    return tuple(layers)


_LAYERS: dict[str, tuple[_Layer, ...]] = {
    "alex": (
        _Layer("features.0", tap=True, stride=4, padding=2),
        _Layer("features.3", tap=True, pool=True, padding=2),
        _Layer("features.6", tap=True, pool=True),
        _Layer("features.8", tap=True),
        _Layer("features.10", tap=True),
    ),
    "vgg": _vgg16(),
    "squeeze": (
        _Layer("features.0", tap=True, stride=2, padding=0),
        _Layer("features.3", pool=True, fire=True),
        _Layer("features.4", tap=True, fire=True),
        _Layer("features.6", pool=True, fire=True),
        _Layer("features.7", tap=True, fire=True),
        _Layer("features.9", tap=True, pool=True, fire=True),
        *(_Layer(f"features.{index}", tap=True, fire=True) for index in (10, 11, 12)),
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class Backbone:
    """A network with its weights.

    name: "alex", "vgg" or "squeeze".
    weights: By torchvision's names.
    sha256: Of the file.
    """

    name: str
    weights: Mapping[str, Array]
    sha256: str

    @property
    def original(self) -> bool:
        """Whether the weights are torchvision's, by their hash."""
        return self.sha256 == FILES[self.name].sha256

    def features(self, image: NDArray[np.uint8], pool: Pool | None = None) -> list[Array]:
        """The tapped activations `c h w` of 8-bit RGB `h w 3`.

        pool: Instead of the network's own max pooling.

        Raises `InputError` for a picture that is too small for the deepest layer.
        """
        x: Array = ((image.astype(np.float32) / np.float32(255.0)).transpose(2, 0, 1) - _MEAN) / _DEVIATION
        found: list[Array] = []
        for layer in _LAYERS[self.name]:
            if layer.pool:
                x = (pool or self._max_pool)(x)
            side = 1 if layer.fire else self.weights[f"{layer.key}.weight"].shape[2] - 2 * layer.padding
            if min(x.shape[1:]) < max(1, side):
                raise InputError(
                    f"the network {self.name} needs a larger picture than {image.shape[1]}x{image.shape[0]}"
                )
            x = self._fire(x, layer.key) if layer.fire else self._conv(x, layer.key, layer.stride, layer.padding)
            if layer.tap:
                found.append(x)
        return found

    def _max_pool(self, x: Array) -> Array:
        return max_pool(x, 2, whole=True) if self.name == "vgg" else max_pool(x, 3, whole=self.name == "alex")

    def _conv(self, x: Array, key: str, stride: int = 1, padding: int = 0) -> Array:
        return np.maximum(conv2d(x, self.weights[f"{key}.weight"], self.weights[f"{key}.bias"], stride, padding), 0.0)

    def _fire(self, x: Array, key: str) -> Array:
        x = self._conv(x, f"{key}.squeeze")
        return np.concatenate([self._conv(x, f"{key}.expand1x1"), self._conv(x, f"{key}.expand3x3", padding=1)])


def conv2d(x: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 0) -> Array:
    """Convolution of `c h w` padded with zeros, as torch's `conv2d`. weight: `o c k k`."""
    side = weight.shape[2]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(padded, (side, side), axis=(1, 2))[:, ::stride, ::stride]  # c h w k k
    _, height, width = windows.shape[:3]
    flat = weight.reshape(len(weight), -1)
    rows = max(1, _BLOCK_VALUES // max(1, flat.shape[1] * width))
    out = np.empty((len(weight), height, width), np.float32)
    for top in range(0, height, rows):
        part = windows[:, top : top + rows].transpose(0, 3, 4, 1, 2)
        out[:, top : top + rows] = (flat @ part.reshape(flat.shape[1], -1)).reshape(len(weight), -1, width)
    return out + bias[:, None, None]


def max_pool(x: Array, side: int, *, whole: bool) -> Array:
    """Maxima of windows of `side` x `side` in steps of 2. whole: Drop windows that reach beyond the border."""
    if not whole:  # torch's ceil_mode
        more = [-(length - side) % 2 for length in x.shape[1:]]
        x = np.pad(x, ((0, 0), (0, more[0]), (0, more[1])), constant_values=-np.inf)
    if min(x.shape[1:]) < side:
        return x[:, :0, :0]
    return sliding_window_view(x, (side, side), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


def load_backbone(name: str, folder: Path | None) -> Backbone:
    """The backbone "alex", "vgg" or "squeeze" from its published file: in `folder`, or downloaded.

    A file in `folder` may have another hash: `original` is False then. Raises `ModelError` for a file that is missing
    or holds another network.
    """
    source = FILES[name]
    path = published_file(source, folder)
    weights = {key: np.asarray(value, np.float32) for key, value in read_weights(path).items()}
    for layer in _LAYERS[name]:
        parts = (".squeeze", ".expand1x1", ".expand3x3") if layer.fire else ("",)
        for part in parts:
            if f"{layer.key}{part}.weight" not in weights or f"{layer.key}{part}.bias" not in weights:
                raise ModelError(f"{path} is no {name} of torchvision: {layer.key}{part}.weight or its bias is missing")
    return Backbone(name, weights, sha256_of(path))


def published_file(source: Source, folder: Path | None) -> Path:
    """The file of `source` in `folder`, or downloaded into the cache. Raises `ModelError` if it is not there."""
    if folder is None:
        return fetch(source)
    path = folder / source.name
    if not path.is_file():
        raise ModelError(f"{folder} has no {source.name}; put it there (SHA-256 {source.sha256})")
    return path
