"""State dicts of RRDBNet in every dialect become the network they came from; damaged ones are refused by the name of a
tensor.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.architectures.test_architectures import assert_same_function, small, without
from tests.oracles.networks import esrgan_keys, old_esrgan_keys, randomized, state_of
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict

SCALES = [(0, 1, 1, 1), (1, 1, 2, 1), (2, 1, 4, 1), (3, 1, 8, 1), (2, 2, 2, 2), (2, 4, 1, 4)]


@pytest.mark.slow
@pytest.mark.parametrize(("ups", "unshuffle", "scale", "alignment"), SCALES)
@pytest.mark.parametrize("dialect", ["basicsr", "esrgan", "old"])
def test_rrdb_in_three_dialects(ups: int, unshuffle: int, scale: int, alignment: int, dialect: str) -> None:
    module = randomized(small(ups, unshuffle), 3)
    state = state_of(module)
    if dialect == "esrgan":
        state = esrgan_keys(state)
    elif dialect == "old":
        state = old_esrgan_keys(state, blocks=2, ups=ups)
        assert "model.1.sub.0.RDB1.conv1.0.weight" in state and f"model.{4 + 3 * ups}.bias" in state
    graph = graph_from_state_dict(state)
    assert (graph.family, graph.scale, graph.alignment) == ("rrdb", scale, alignment)
    assert (graph.in_channels, graph.out_channels) == (3, 3)
    assert_same_function(state, module)


@pytest.mark.parametrize(("ups", "unshuffle"), [(2, 1), (2, 2)])
def test_rrdb_of_gray_pictures(ups: int, unshuffle: int) -> None:
    module = randomized(small(ups, unshuffle, colors=1), 3)
    assert graph_from_state_dict(state_of(module)).in_channels == 1
    assert_same_function(state_of(module), module, channels=1)


def test_damaged_rrdb_names_the_tensor() -> None:
    state = state_of(small())
    damaged = [
        (
            without(state, "body.1.rdb2.conv3.bias"),
            r"RRDBNet: tensor 'body.1.rdb2.conv3.bias' is missing; expected shape \(4\)",
        ),
        (
            without(state, "body.0.rdb1.conv1.weight"),
            r"'body.0.rdb1.conv1.weight' is missing; expected shape \(any, 8, 3, 3\)",
        ),
        (without(state, "conv_up1.weight"), "have no place in this network: conv_up1.bias, conv_up2.weight"),
        (
            state | {"body.0.rdb1.conv2.weight": np.ones((4, 11, 3, 3), np.float32)},
            r"has shape \(4, 11, 3, 3\); expected \(4, 12, 3, 3\)",
        ),
        (
            state | {"conv_first.weight": np.ones((8, 6, 3, 3), np.float32)},
            "takes 6 channels and the last gives 3; expected 3, 12 or 48",
        ),
        (
            state | {"conv_hr.weight": np.ones((8, 8, 3, 3), np.int32)},
            "'conv_hr.weight' is of type int32; expected floats",
        ),
        (
            state | {"attention.weight": np.ones(3, np.float32)},
            r"1 of \d+ tensors have no place in this network: attention.weight",
        ),
        (
            state | {"body.0.rdb1.conv1x1.weight": np.ones((4, 8, 1, 1), np.float32)},
            r"ESRGAN\+ network \(extra conv1x1 branches",
        ),
        (
            state | {"body.5.rdb1.conv1.weight": np.ones((4, 8, 3, 3), np.float32)},
            "'body.2.rdb1.conv1.weight' is missing",
        ),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)


def test_unshuffle_without_enough_upsampling_is_refused() -> None:
    with pytest.raises(ModelError, match="1 upsamplings by 2 after a pixel-unshuffle by 4 make no whole scale"):
        graph_from_state_dict(state_of(small(ups=1, unshuffle=4)))


def test_old_dialect_with_a_gap_is_refused() -> None:
    state = old_esrgan_keys(state_of(small()), blocks=2, ups=2)
    with pytest.raises(ModelError, match=r"convolutions at model.\[6, 8, 10\]; expected 3, 6"):
        graph_from_state_dict({key: array for key, array in state.items() if not key.startswith("model.3.")})
