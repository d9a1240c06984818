"""DISTS: K. Ding et al., "Image quality assessment: unifying structure and texture similarity", TPAMI 2020.

Equations 5 to 7: in VGG-16 with L2 pooling and in the pixels themselves, the global means (texture) and correlations
(structure) of each channel are compared as SSIM does, and weighted by alpha and beta. The picture is not resized.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upres.errors import InputError, ModelError
from upres.metrics.backbones import Backbone, load_backbone, published_file
from upres.system.download import Source
from upres.system.files import sha256_of
from upres.weights.read import read_weights

CHANNELS = (3, 64, 128, 256, 512, 512)  # of the pixels and of the features
WEIGHTS = Source(
    name="dists_alpha_beta.pt",
    urls=("https://raw.githubusercontent.com/dingkeyan93/DISTS/master/DISTS_pytorch/weights.pt",),
    sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    bytes=12288,
    license="MIT",
)
_C = 1e-6  # c1 and c2 of equations 5 and 6
_HANNING = np.outer((0.5, 1.0, 0.5), (0.5, 1.0, 0.5)) / 4.0  # section III-A: the window of the L2 pooling


@dataclass(frozen=True, slots=True, eq=False)
class Dists:
    """DISTS with its backbone and the weights alpha and beta of 1,475 channels.

    sha256: Of the file of weights.
    """

    backbone: Backbone
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    sha256: str

    @property
    def name(self) -> str:
        """ "DISTS", or what else it is without the original files."""
        return "DISTS" if self.backbone.original and self.sha256 == WEIGHTS.sha256 else "feature-distance (dists)"

    def __call__(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """The distance of 8-bit RGB `h w 3`; 0 for equal pictures. Raises `InputError` for shapes that differ."""
        if sr.shape != hr.shape:
            raise InputError(f"sr and hr must have the same shape, got {sr.shape} and {hr.shape}")
        pairs = zip(self._features(sr), self._features(hr), strict=True)
        texture: list[NDArray[np.float64]] = []
        structure: list[NDArray[np.float64]] = []
        for first, second in pairs:
            x, y = (one.reshape(len(one), -1).astype(np.float64) for one in (first, second))
            mean_x, mean_y = x.mean(axis=1), y.mean(axis=1)
            covariance = (x * y).mean(axis=1) - mean_x * mean_y
            texture.append((2 * mean_x * mean_y + _C) / (mean_x**2 + mean_y**2 + _C))
            structure.append((2 * covariance + _C) / (x.var(axis=1) + y.var(axis=1) + _C))
        total = float(self.alpha.sum() + self.beta.sum())
        alike = self.alpha @ np.concatenate(texture) + self.beta @ np.concatenate(structure)
        return 1.0 - float(alike) / total

    def _features(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        pixels = (image.astype(np.float32) / np.float32(255.0)).transpose(2, 0, 1)
        return [pixels, *self.backbone.features(image, l2_pool)]


def l2_pool(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The root of the Hanning-weighted mean of squares, in steps of 2 with a border of zeros (section III-A)."""
    padded = np.pad(x * x, ((0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    return np.sqrt(np.einsum("chwij,ij->chw", windows, _HANNING.astype(np.float32)) + np.float32(1e-12))


def load_dists(folder: Path | None = None) -> Dists:
    """DISTS from its published files in `folder`, or downloaded. Raises `ModelError`."""
    path = published_file(WEIGHTS, folder)
    alpha, beta = read_channel_weights(path)
    return Dists(load_backbone("vgg", folder), alpha, beta, sha256_of(path))


def read_channel_weights(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """alpha and beta of the 1,475 channels. Raises `ModelError` for another file."""
    state = read_weights(path)
    if set(state) != {"alpha", "beta"} or any(array.size != sum(CHANNELS) for array in state.values()):
        raise ModelError(f"{path} holds no weights of DISTS: expected alpha and beta of {sum(CHANNELS)} channels")
    alpha, beta = (np.asarray(state[key], np.float64).reshape(-1) for key in ("alpha", "beta"))
    return alpha, beta
