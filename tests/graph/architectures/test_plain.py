"""Stacks of convolutions under any name: run where the file is certain, refused with words where it is not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from tests.oracles.networks import state_of
from upres import engines
from upres.errors import ModelError
from upres.graph.architectures import UnknownNetworkError, graph_from_state_dict

State = dict[str, np.ndarray]


def stack(
    colors: int = 3, scale: int = 2, adds: bool = False, value_range: float = 1.0, kernel: int = 5
) -> nn.Sequential:
    """A Sequential that keeps flat grays: channels of the first layer carry the colors on, the last hands them to every
    pixel.
    """
    generator = torch.Generator().manual_seed(1)
    sizes = [colors, 8, 6, colors * scale**2]
    layers: list[nn.Module] = []
    for number, (into, out) in enumerate(itertools.pairwise(sizes)):
        conv = nn.Conv2d(into, out, kernel if number == 0 else 3, padding=(kernel if number == 0 else 3) // 2)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator) * 0.02)
            conv.weight -= conv.weight.mean((2, 3), keepdim=True)
            conv.bias.copy_(torch.randn(out, generator=generator) * 0.004 * value_range)
            if not adds:
                middle = conv.kernel_size[0] // 2
                for channel in range(out if number == 2 else colors):
                    conv.weight[channel, channel // scale**2 if number == 2 else channel, middle, middle] += 1
        layers += [conv, nn.PReLU(out, 0.1)] if number < 2 else [conv]
    return nn.Sequential(*layers)


def answer(module: nn.Module, lr: np.ndarray, scale: int, adds: bool, value_range: float) -> np.ndarray:
    with torch.no_grad():
        x = torch.from_numpy(lr) * value_range
        sr = nn.functional.pixel_shuffle(module(x), scale)
        return ((sr + nn.functional.interpolate(x, scale_factor=scale)) if adds else sr).numpy() / value_range


@pytest.mark.parametrize("prefix", ["", "net.", "backbone.", "layers.body."])
@pytest.mark.parametrize(
    ("colors", "scale", "adds", "value_range"), [(3, 2, False, 1.0), (3, 4, True, 1.0), (1, 3, False, 255.0)]
)
def test_function(prefix: str, colors: int, scale: int, adds: bool, value_range: float) -> None:
    module = stack(colors, scale, adds, value_range)
    graph = graph_from_state_dict({prefix + key: array for key, array in state_of(module).items()})
    assert (graph.family, graph.scale, graph.in_channels) == ("plain", scale, colors)
    lr = np.random.default_rng(1).random((1, colors, 9, 12), dtype=np.float32)
    found = engines.load(graph, engine="torch", threads=1)(lr)
    # Biases that do not show which range it is are small beside either.
    np.testing.assert_allclose(
        found, answer(module, lr, scale, adds, value_range), rtol=0, atol=0.01 if value_range == 255.0 else 3e-6
    )


def test_a_range_of_255_that_shows() -> None:
    module = stack(3, 2, value_range=255.0)
    with torch.no_grad():
        module[4].bias += 5.0  # 2 % of 255, and five times white in [0,1]
    lr = np.random.default_rng(1).random((1, 3, 9, 12), dtype=np.float32)
    found = engines.load(graph_from_state_dict(state_of(module)), engine="torch", threads=1)(lr)
    np.testing.assert_allclose(found, answer(module, lr, 2, False, 255.0), rtol=0, atol=3e-6)


def test_what_is_not_certain_is_refused() -> None:
    state = state_of(stack())
    with pytest.raises(ModelError, match="nothing is stored between 0 and 2; which activation was there"):
        graph_from_state_dict({key: array for key, array in state.items() if array.ndim == 4 or key.endswith("bias")})
    noisy = {key: array + np.float32(0.2) if array.ndim == 4 else array for key, array in state.items()}
    with pytest.raises(ModelError, match="what such a network does at its end cannot be told from the file"):
        graph_from_state_dict(noisy)


def test_other_networks_are_left_alone() -> None:
    state = state_of(stack())
    others = [
        state | {"4.weight": np.ones((13, 6, 3, 3), np.float32), "4.bias": np.ones(13, np.float32)},
        state | {"1.bias": np.ones(8, np.float32)},
        state | {"classifier.weight": np.ones((4, 4), np.float32)},
        {"features.0.weight": np.ones((64, 3, 3, 3), np.float32), "features.0.bias": np.ones(64, np.float32)},
    ]
    for other in others:
        with pytest.raises(UnknownNetworkError, match="unknown network"):
            graph_from_state_dict(other)
