"""State dicts of SRVGGNetCompact become the network they came from; damaged ones are refused by a tensor's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.graph.architectures.test_architectures import assert_same_function, without
from tests.oracles.networks import SRVGGNetCompact, randomized, state_of
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("colors", [1, 3])
def test_compact(scale: int, colors: int) -> None:
    module = randomized(SRVGGNetCompact(colors=colors, width=10, convs=3, scale=scale), 4)
    graph = graph_from_state_dict(state_of(module))
    assert (graph.family, graph.scale, graph.in_channels, graph.alignment) == ("compact", scale, colors, 1)
    assert_same_function(state_of(module), module, channels=colors)


def test_published_compact_weights(assets: Path) -> None:
    state = torch.load(assets / "weights" / "realesr-animevideov3.pth", map_location="cpu", weights_only=True)["params"]
    module = SRVGGNetCompact()
    module.load_state_dict(state)
    graph = graph_from_state_dict(state_of(module))
    assert (graph.scale, graph.parameters, graph.receptive_field) == (4, 621_424, 18)
    assert_same_function(state_of(module), module.eval())


def test_damaged_compact_names_the_tensor() -> None:
    state = state_of(SRVGGNetCompact(width=6, convs=2, scale=2))
    damaged = [
        (without(state, "body.2.bias"), r"SRVGGNetCompact: tensor 'body.2.bias' is missing; expected shape \(6\)"),
        (without(state, "body.3.weight"), "'body.3.weight' is missing"),
        (state | {"body.1.weight": np.ones(5, np.float32)}, r"'body.1.weight' has shape \(5,\); expected \(6\)"),
        (state | {"tail.weight": np.ones(5, np.float32)}, "have no place in this network: tail.weight"),
        ({key: a for key, a in state.items() if key[5] in "024"}, "does not say which|'body.6"),
        (
            state | {"body.6.weight": np.ones((13, 6, 3, 3), np.float32), "body.6.bias": np.ones(13, np.float32)},
            "SRVGGNetCompact: ",
        ),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)


def test_compact_with_an_activation_that_left_no_trace_is_refused() -> None:
    state = state_of(SRVGGNetCompact(width=6, convs=2, scale=2))
    state = {key: array for key, array in state.items() if array.ndim == 4 or key.endswith("bias")}
    with pytest.raises(ModelError, match="its activation is ReLU or LeakyReLU, and the file does not say which"):
        graph_from_state_dict(state)


def test_compact_whose_last_channels_make_no_scale() -> None:
    state = state_of(SRVGGNetCompact(width=6, convs=1, scale=2))
    state |= {"body.4.weight": np.ones((15, 6, 3, 3), np.float32), "body.4.bias": np.ones(15, np.float32)}
    with pytest.raises(ModelError, match="gives 15 channels; expected 3 colors times the square of the scale"):
        graph_from_state_dict(state)
