"""The distance of two pictures in the features of a network: LPIPS where weights for the network exist, else
unweighted.

LPIPS (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, equation 1):

    d(x, y) = sum over layers l of mean over pixels of sum over channels c of w_lc (u_lc(x) - u_lc(y))^2

u is the output of an activation, normalized at each pixel to length 1 over the channels; w is not negative and was
fitted to human judgments for one training of one network: torchvision's SqueezeNet 1.1 or VGG-16 (or AlexNet, which is
not here). Other networks, even with the same layers, have their channels in another order. Without w every channel of a
layer weighs 1 / channels, and the result is a "feature distance (NETWORK)", comparable only with itself.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from upres.errors import InputError, ModelError, UsageError
from upres.training.losses.feature_files import FEATURES, RANDOM, FeatureNetwork
from upres.weights.read import read_weights

_EPSILON = 1e-10  # added to the length, as in the published implementation
_SQUEEZE = ("relu1", "relu3", "relu5", "relu6", "relu7", "relu8", "relu9")

# Layers that are compared: for squeezenet1_1* and vgg16 those of LPIPS, for the others the last activation of each
# resolution.
LAYERS: dict[str, tuple[str, ...]] = {
    "vgg19": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4"),
    "vgg16": ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    "vgg19-conv3_1": ("relu1_2", "relu2_2", "relu3_1"),
    "vgg19-16x": ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_1"),
    "squeezenet1_1": _SQUEEZE,
    "squeezenet1_1-torchvision": _SQUEEZE,
}
# Channels of the linear layers `lin0`, `lin1`, ... of lpips_lin_v0.1_*.pth -> the network they belong to.
_LINEAR: dict[tuple[int, ...], str] = {
    (64, 128, 256, 384, 384, 512, 512): "squeezenet1_1-torchvision",
    (64, 128, 256, 512, 512): "vgg16",
}


def distance(net: FeatureNetwork, sr: Tensor, hr: Tensor, linear: Mapping[str, Tensor] | None = None) -> Tensor:
    """sr, hr: RGB in [0,1], `b 3 h w` -> `b` distances, 0 for equal pictures. `linear` is w by layer (`load_linear`).

    LPIPS is defined for [-1,1] with its own normalization, which in [0,1] is torchvision's, applied by `net`. Gradients
    flow to both pictures. Raises `InputError` for pictures of different shapes or too small for the deepest layer,
    `UsageError` for weights of other layers.
    """
    if sr.shape != hr.shape:
        raise InputError(f"both pictures must have the same shape, got sr {tuple(sr.shape)} and hr {tuple(hr.shape)}")
    layers = LAYERS[net.name]
    if linear is not None and set(linear) != set(layers):
        raise UsageError(
            f"{net.name} is compared at {', '.join(layers)}, but the weights are for {', '.join(linear)}. Load its own"
        )
    total = sr.new_zeros(len(sr), dtype=torch.float32)
    features_sr, features_hr = net(sr, layers), net(hr, layers)
    for layer in layers:
        squares = (unit(features_sr[layer]) - unit(features_hr[layer])).square()
        total = total + (squares.mean(1) if linear is None else _weighted(squares, linear[layer], layer)).mean((1, 2))
    return total


def distance_name(net: FeatureNetwork, linear: Mapping[str, Tensor] | None = None) -> str:
    """The name of the distance: "LPIPS" only if the weights were fitted to exactly these features."""
    name = f"{net.name}, random weights" if net.sha256 == RANDOM else net.name
    if linear is None:
        return f"feature distance ({name})"
    published = net.name in _LINEAR.values() and net.sha256 == FEATURES[net.name].sha256
    return f"LPIPS ({name})" if published else f"weighted feature distance ({name})"


def load_linear(path: Path) -> dict[str, Tensor]:
    """w of `lpips_lin_v0.1_squeeze.pth` or `lpips_lin_v0.1_vgg.pth` by layer, each `1 c 1 1`.

    Raises `ModelError` for any other file.
    """
    state = read_weights(path)
    names = [f"lin{i}.model.1.weight" for i in range(len(state))]
    channels = tuple(state[name].size for name in names) if state.keys() == set(names) else ()
    if channels not in _LINEAR or any(
        state[name].shape != (1, size, 1, 1) for name, size in zip(names, channels, strict=True)
    ):
        raise ModelError(
            f"weights of LPIPS {path}: expected lin0.model.1.weight ... of {' or '.join(map(str, _LINEAR))} channels, "
            "found "
            f"{channels or ', '.join(list(state)[:3])}. Give lpips_lin_v0.1_squeeze.pth or lpips_lin_v0.1_vgg.pth"
        )
    linear = {
        layer: torch.from_numpy(state[name]) for layer, name in zip(LAYERS[_LINEAR[channels]], names, strict=True)
    }
    negative = [layer for layer, weight in linear.items() if bool((weight < 0).any())]
    if negative:
        raise ModelError(
            f"weights of LPIPS {path}: {negative[0]} has negative weights, so this is no distance. Download the file "
            "again"
        )
    return linear


def unit(x: Tensor) -> Tensor:
    """x / (|x| + 1e-10), |x| over the channels of `b c h w`. Where all are 0, so are the result and its gradient."""
    squares = x.square().sum(1, keepdim=True)
    dead = squares == 0  # the slope of the root is infinite there, and would make the gradient NaN
    return (x / (squares.masked_fill(dead, 1.0).sqrt() + _EPSILON)).masked_fill(dead, 0.0)


def _weighted(squares: Tensor, weight: Tensor, layer: str) -> Tensor:
    if weight.numel() != squares.shape[1]:
        raise UsageError(
            f"layer {layer} has {squares.shape[1]} channels, but the weights are for {weight.numel()}. Load its own"
        )
    return (squares * weight.to(squares.device).reshape(1, -1, 1, 1)).sum(1)
