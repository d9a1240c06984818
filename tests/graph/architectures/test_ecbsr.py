"""ECBSR files, trained and deployed, become the network that their branches say; the range of pictures is theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.oracles.ecbsr import ECBSR, randomized
from tests.oracles.networks import state_of
from upres import engines
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict

State = dict[str, np.ndarray]


def made(colors: int = 1, scale: int = 2, seed: int = 3, strength: float = 0.3) -> ECBSR:
    return randomized(ECBSR(colors, width=6, blocks=2, scale=scale), seed, strength)


def pixels(channels: int) -> np.ndarray:
    return np.random.default_rng(5).random((1, channels, 11, 14), dtype=np.float32)


def answer(module: ECBSR, lr: np.ndarray, value_range: float) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(lr) * value_range).numpy() / value_range


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize(("colors", "value_range"), [(1, 255.0), (3, 1.0)])
@pytest.mark.parametrize("engine", ["ncnn", "torch", "onnx"])
def test_the_function(scale: int, colors: int, value_range: float, engine: str) -> None:
    module = made(colors, scale)
    graph = graph_from_state_dict(state_of(module))
    assert (graph.family, graph.scale, graph.in_channels, graph.alignment) == ("ecbsr", scale, colors, 1)
    expected = answer(module, pixels(colors), value_range)
    np.testing.assert_allclose(
        engines.load(graph, engine=engine, threads=1)(pixels(colors)), expected, rtol=0, atol=5e-6
    )


def test_a_deployed_file() -> None:
    """PlainSR: the same names, one 3x3 a block. What is deployed is what the merged network gives."""
    module = made()
    full = graph_from_state_dict(state_of(module))
    convs = [node for node in full.nodes if node.output.startswith("conv")]
    state: State = {}
    for number, conv in enumerate(convs):
        state[f"backbone.{number}.conv3x3.weight"] = conv.weight  # type: ignore[union-attr]
        state[f"backbone.{number}.conv3x3.bias"] = conv.bias * np.float32(255)  # type: ignore[union-attr]
    state |= {key: array for key, array in state_of(module).items() if ".act." in key}
    lr = pixels(1)
    deployed, trained = (
        engines.load(graph, engine="torch", threads=1)(lr) for graph in (graph_from_state_dict(state), full)
    )
    np.testing.assert_allclose(deployed, trained, rtol=0, atol=1e-6)


def test_a_network_that_is_clearly_of_the_other_range() -> None:
    """Biases as large as pictures of 255: in [0,1] a flat gray is lost, in 255 it is kept within a share of it."""
    module = made(3, strength=0.02)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("bias", "b0", "b1")):
                parameter.fill_(0.3)
    graph = graph_from_state_dict(state_of(module))
    np.testing.assert_allclose(
        engines.load(graph, engine="torch", threads=1)(pixels(3)), answer(module, pixels(3), 255.0), rtol=0, atol=5e-6
    )


def test_damaged_files_name_the_tensor() -> None:
    state = state_of(made())
    gone = {name: array for name, array in state.items() if name != "backbone.1.conv1x1_sby.mask"}
    damaged = [
        (gone, r"ECBSR: tensor 'backbone.1.conv1x1_sby.mask' is missing; expected shape \(6, 1, 3, 3\)"),
        ({key: a for key, a in state.items() if ".act." not in key}, "without PReLU slopes at backbone.0.act"),
        (
            {key: a for key, a in state.items() if not key.startswith("backbone.2.")},
            "'backbone.2.conv3x3.weight' is missing",
        ),
        (state | {"tail.weight": np.ones(3, np.float32)}, "no place in this network: tail.weight"),
        (state_of(ECBSR(colors=2, width=4, blocks=1)), "2 channels in and 8 before the pixel shuffle"),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)
