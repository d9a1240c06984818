"""LPIPS: R. Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.

Equation 1: the features of both pictures are scaled to unit length at each pixel; the squared differences, weighted by
channel, are summed over channels, averaged over pixels and summed over layers. Version 0.1 of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import InputError, ModelError
from upres.metrics.backbones import Backbone, load_backbone, published_file
from upres.system.download import Source
from upres.system.files import sha256_of
from upres.weights.read import read_weights

_EPSILON = np.float32(1e-10)  # added to lengths, as the authors do
_URL = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1"


def _linear(name: str, sha256: str, size: int) -> Source:
    return Source(f"lpips_lin_v0.1_{name}.pth", (f"{_URL}/{name}.pth",), sha256, size, "BSD-2-Clause")


LINEAR = {
    "alex": _linear("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 6009),
    "vgg": _linear("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7289),
    "squeeze": _linear("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", 10811),
}


@dataclass(frozen=True, slots=True, eq=False)
class Lpips:
    """LPIPS with its backbone and the weights of its channels, one array a layer.

    sha256: Of the file of weights.
    """

    backbone: Backbone
    weights: tuple[NDArray[np.float32], ...]
    sha256: str

    @property
    def name(self) -> str:
        """ "LPIPS (alex)", or what else it is without the original files."""
        known = self.backbone.original and self.sha256 == LINEAR[self.backbone.name].sha256
        return f"LPIPS ({self.backbone.name})" if known else f"feature-distance ({self.backbone.name})"

    def __call__(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """The distance of 8-bit RGB `h w 3`; 0 for equal pictures. Raises `InputError` for shapes that differ."""
        if sr.shape != hr.shape:
            raise InputError(f"sr and hr must have the same shape, got {sr.shape} and {hr.shape}")
        layers = zip(self.backbone.features(sr), self.backbone.features(hr), self.weights, strict=True)
        total = 0.0
        for first, second, weight in layers:
            squares = (_unit(first) - _unit(second)) ** 2
            total += float(np.tensordot(weight, squares, axes=1).mean(dtype=np.float64))
        return total


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / (np.sqrt((x * x).sum(axis=0, keepdims=True)) + _EPSILON)


def load_lpips(name: str, folder: Path | None = None) -> Lpips:
    """LPIPS with "alex", "vgg" or "squeeze", from its published files in `folder`, or downloaded.

    Raises `ModelError`.
    """
    path = published_file(LINEAR[name], folder)
    state = read_weights(path)
    names = [f"lin{index}.model.1.weight" for index in range(len(state))]
    if set(names) != set(state):
        raise ModelError(f"{path} holds no weights of LPIPS: expected lin0.model.1.weight, ...")
    weights = tuple(np.asarray(state[key], np.float32).reshape(-1) for key in names)
    return Lpips(load_backbone(name, folder), weights, sha256_of(path))
