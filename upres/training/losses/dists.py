"""DISTS as a loss: K. Ding et al., "Image quality assessment: unifying structure and texture similarity", TPAMI 2020.

The measure of `upres.metrics.dists` (equations 5 to 7), in torch and for batches, so that gradients flow.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from upres.errors import InputError, UsageError
from upres.metrics.dists import CHANNELS, read_channel_weights
from upres.training.losses.feature_nets import FeatureNetwork

NETWORK = "vgg16"
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
_C = 1e-6  # c1 and c2 of equations 5 and 6
_SQUARE = 1e-12  # added below the root of the pooling: its slope at 0 is infinite


@dataclass(frozen=True, eq=False)
class ChannelWeights:
    """alpha (texture) and beta (structure), 1,475 each: the pixels' 3 channels, then those of the layers."""

    alpha: Tensor
    beta: Tensor

    @staticmethod
    def even() -> ChannelWeights:
        """All alike, where only the cost of the loss is asked for."""
        return ChannelWeights(torch.ones(sum(CHANNELS)), torch.ones(sum(CHANNELS)))


def load_channel_weights(path: Path) -> ChannelWeights:
    """The published alpha and beta. Raises `ModelError` for another file."""
    alpha, beta = (torch.from_numpy(np.asarray(array, np.float32)) for array in read_channel_weights(path))
    return ChannelWeights(alpha, beta)


def distance(net: FeatureNetwork, sr: Tensor, hr: Tensor, weights: ChannelWeights) -> Tensor:
    """sr, hr: RGB in [0,1], `b 3 h w`, at least 16x16 -> `b` distances, 0 for equal pictures.

    Gradients flow to both pictures. Raises `InputError` for pictures of different shapes or too small, `UsageError` for
    another network than VGG-16.
    """
    if sr.shape != hr.shape:
        raise InputError(f"both pictures must have the same shape, got sr {tuple(sr.shape)} and hr {tuple(hr.shape)}")
    if net.name != NETWORK:
        raise UsageError(f"DISTS measures in {NETWORK}, got {net.name}")
    pairs = zip(_features(net, sr), _features(net, hr), strict=True)
    texture, structure = (torch.cat(parts, 1) for parts in zip(*(_alike(x, y) for x, y in pairs), strict=True))
    alpha, beta = weights.alpha.to(sr.device), weights.beta.to(sr.device)
    return 1.0 - (texture @ alpha + structure @ beta) / (alpha.sum() + beta.sum())


def _features(net: FeatureNetwork, x: Tensor) -> list[Tensor]:
    found = net(x, LAYERS, pool=l2_pool)
    return [x.float().expand(-1, 3, -1, -1), *(found[layer] for layer in LAYERS)]


def _alike(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Texture and structure of each channel, `b c`."""
    mean_x, mean_y = x.mean((2, 3)), y.mean((2, 3))
    from_x, from_y = x - mean_x[:, :, None, None], y - mean_y[:, :, None, None]  # E[x^2] - E[x]^2 would cancel
    texture = (2 * mean_x * mean_y + _C) / (mean_x.square() + mean_y.square() + _C)
    spread = from_x.square().mean((2, 3)) + from_y.square().mean((2, 3))
    return texture, (2 * (from_x * from_y).mean((2, 3)) + _C) / (spread + _C)


def l2_pool(x: Tensor) -> Tensor:
    """The root of the Hanning-weighted mean of squares, in steps of 2 with a border of zeros (section III-A)."""
    line = torch.tensor((0.5, 1.0, 0.5), device=x.device) / 2.0
    squares = x.float().square()
    channels = squares.shape[1]
    rows = line.view(1, 1, 3, 1).expand(channels, 1, 3, 1)
    squares = F.conv2d(squares, rows, stride=(2, 1), padding=(1, 0), groups=channels)
    squares = F.conv2d(squares, rows.transpose(2, 3), stride=(1, 2), padding=(0, 1), groups=channels)
    return (squares + _SQUARE).sqrt().to(x.dtype)
