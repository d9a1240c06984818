"""The published measures as the perceptual loss (`feature_distance` lpips or dists), and where their weights are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from upres.errors import UsageError
from upres.metrics.backbones import published_file
from upres.metrics.dists import WEIGHTS
from upres.metrics.lpips import LINEAR
from upres.system.files import sha256_of
from upres.training.losses import dists, lpips
from upres.training.losses.feature_nets import FeatureNetwork

Measure = Callable[[FeatureNetwork, Tensor, Tensor], Tensor]  # network, sr, hr -> `b` distances

_FILES = {
    ("lpips", "vgg16"): LINEAR["vgg"],
    ("lpips", "squeezenet1_1-torchvision"): LINEAR["squeeze"],
    ("dists", dists.NETWORK): WEIGHTS,
}


def check_measure(kind: str, network: str) -> None:
    """Raises `UsageError` if the measure `kind` was not made for this feature network."""
    able = [name for measure, name in _FILES if measure == kind]
    if network not in able:
        raise UsageError(f"`feature_distance={kind}` needs features={' or '.join(able)}, got {network}")


def open_measure(kind: str, network: FeatureNetwork, folder: Path | None) -> tuple[Measure, str]:
    """The measure `kind`, with its published weights from `folder` or downloaded, and the SHA-256 of their file.

    Raises `ModelError` if they cannot be had, or are those of something else.
    """
    path = published_file(_FILES[kind, network.name], folder)
    if kind == "dists":
        weights = dists.load_channel_weights(path)
        return partial(dists.distance, weights=weights), sha256_of(path)
    return partial(lpips.distance, linear=lpips.load_linear(path)), sha256_of(path)


def unweighted(kind: str) -> Measure:
    """The measure `kind` with even weights, which costs the same, for estimates."""
    if kind == "dists":
        return partial(dists.distance, weights=dists.ChannelWeights.even())
    return partial(lpips.distance, linear=None)
