"""The file of an SRResNet becomes the network that its names say, in every engine; damaged ones are refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from upres import engines
from upres.engines.torch import TorchRunner
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.upscaling.upscaler import Upscaler

State = dict[str, np.ndarray]
WIDTH, BLOCKS = 8, 2


def made_state(ups: int = 2, *, colors: int = 3, shared_slopes: bool = False, seed: int = 0) -> State:
    """Random weights that keep the size of a signal, under the names of the docstring of
    `upres.graph.architectures.srresnet`.
    """
    rng = np.random.default_rng(seed)
    convs = {"head.conv": (WIDTH, colors, 9), "trunk": (WIDTH, WIDTH, 3), "tail": (colors, WIDTH, 9)}
    convs |= {f"blocks.{n}.conv{k}": (WIDTH, WIDTH, 3) for n in range(BLOCKS) for k in (1, 2)}
    convs |= {f"up{k}.conv": (4 * WIDTH, WIDTH, 3) for k in range(1, ups + 1)}
    state: State = {}
    for stem, (given, taken, kernel) in convs.items():
        state[f"{stem}.weight"] = rng.normal(0, (taken * kernel**2) ** -0.5, (given, taken, kernel, kernel)).astype(
            np.float32
        )
        state[f"{stem}.bias"] = rng.normal(0, 0.1, given).astype(np.float32)
    for stem in ["head", *(f"blocks.{n}" for n in range(BLOCKS)), *(f"up{k}" for k in range(1, ups + 1))]:
        state[f"{stem}.act.weight"] = rng.uniform(-0.2, 0.6, 1 if shared_slopes else WIDTH).astype(np.float32)
    return state


def reference(state: State, lr: np.ndarray) -> np.ndarray:
    """Figure 4 of the paper, batch normalization gone, by torch's functions."""
    weights = {name: torch.from_numpy(array) for name, array in state.items()}

    def conv(stem: str, x: Tensor) -> Tensor:
        weight = weights[f"{stem}.weight"]
        return F.conv2d(x, weight, weights[f"{stem}.bias"], padding=weight.shape[2] // 2)

    def prelu(stem: str, x: Tensor) -> Tensor:
        return F.prelu(x, weights[f"{stem}.act.weight"])

    first = x = prelu("head", conv("head.conv", torch.from_numpy(lr)))
    for n in range(BLOCKS):
        x = x + conv(f"blocks.{n}.conv2", prelu(f"blocks.{n}", conv(f"blocks.{n}.conv1", x)))
    x = first + conv("trunk", x)
    for k in range(1, 4):
        if f"up{k}.conv.weight" in state:
            x = prelu(f"up{k}", F.pixel_shuffle(conv(f"up{k}.conv", x), 2))
    return conv("tail", x).numpy()


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).random(shape, dtype=np.float32)


@pytest.mark.parametrize(("ups", "scale"), [(0, 1), (1, 2), (2, 4), (3, 8)])
@pytest.mark.parametrize("colors", [1, 3])
def test_scale_channels_and_function(ups: int, scale: int, colors: int) -> None:
    state = made_state(ups, colors=colors)
    graph = graph_from_state_dict(state)
    assert (graph.family, graph.scale, graph.in_channels, graph.out_channels, graph.alignment) == (
        "srresnet",
        scale,
        colors,
        colors,
        1,
    )
    assert graph.parameters == sum(array.size for array in state.values())
    lr = pixels(1, colors, 11, 14)
    np.testing.assert_allclose(TorchRunner(graph, threads=1)(lr), reference(state, lr), rtol=0, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ncnn", "ncnn exact", "torch", "onnx"])
@pytest.mark.parametrize("shared_slopes", [False, True])
@pytest.mark.parametrize("size", [(23, 18), (1, 1), (5, 40)])
def test_every_engine_runs_large_kernels_and_shared_slopes(
    engine: str, shared_slopes: bool, size: tuple[int, int]
) -> None:
    state = made_state(shared_slopes=shared_slopes)
    name, _, exact = engine.partition(" ")
    runner = engines.load(graph_from_state_dict(state), engine=name, threads=1, exact=bool(exact))
    lr = pixels(1, 3, *size)
    np.testing.assert_allclose(runner(lr), reference(state, lr), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ["ncnn", "torch"])
def test_tiles_are_exact(engine: str) -> None:
    """The receptive field: 4 of the head, 2 a block, 1 of the trunk, 1, and in HR pixels 1 of 2 and 4 of 4: two LR
    pixels more.
    """
    graph = graph_from_state_dict(made_state())
    assert graph.receptive_field == 4 + 2 * BLOCKS + 1 + 1 + 2
    lr = pixels(40, 33, 3)
    whole, tiled = (
        Upscaler(graph, engine=engine, threads=1, exact=True, tile_px=px).upscale_array(lr) for px in (None, 16)
    )
    np.testing.assert_array_equal(tiled, whole)


def test_the_published_size() -> None:
    """64 features, 16 blocks, x4: counted by hand from the paper's figure, one slope a channel."""
    state: State = {}
    convs = {
        "head.conv": (64, 3, 9),
        "trunk": (64, 64, 3),
        "tail": (3, 64, 9),
        "up1.conv": (256, 64, 3),
        "up2.conv": (256, 64, 3),
    }
    convs |= {f"blocks.{n}.conv{k}": (64, 64, 3) for n in range(16) for k in (1, 2)}
    for stem, (given, taken, kernel) in convs.items():
        state |= {
            f"{stem}.weight": np.zeros((given, taken, kernel, kernel), np.float32),
            f"{stem}.bias": np.zeros(given, np.float32),
        }
    state |= {
        f"{stem}.act.weight": np.zeros(64, np.float32)
        for stem in ("head", "up1", "up2", *(f"blocks.{n}" for n in range(16)))
    }
    graph: Graph = graph_from_state_dict(state)
    assert graph.parameters == 15_616 + 33 * 36_928 + 2 * 147_712 + 15_555 + 19 * 64
    assert graph.macs_per_pixel == 15_552 + 33 * 36_864 + 147_456 + 4 * 147_456 + 16 * 15_552


def without(state: State, key: str) -> State:
    return {name: array for name, array in state.items() if name != key}


def test_damaged_files_name_the_tensor() -> None:
    state = made_state()
    ones = np.ones
    damaged = [
        (
            without(state, "blocks.1.conv2.bias"),
            r"SRResNet: tensor 'blocks.1.conv2.bias' is missing; expected shape \(8\)",
        ),
        (without(state, "blocks.0.act.weight"), "'blocks.0.act.weight' is missing"),
        (without(state, "up1.conv.weight"), "have no place in this network: up1.conv.bias, up2.conv.weight"),
        (
            state | {"head.conv.weight": ones((8, 3, 3, 3), np.float32)},
            r"has shape \(8, 3, 3, 3\); expected \(any, any, 9, 9\)",
        ),
        (
            state | {"tail.weight": ones((4, 8, 9, 9), np.float32)},
            r"'tail.weight' has shape \(4, 8, 9, 9\); expected \(3, 8, 9, 9\)",
        ),
        (
            state | {"up2.act.weight": ones(5, np.float32)},
            r"prelu of 'up2.act': expected slopes of shape \(8,\) or \(1,\), got \(5,\)",
        ),
        (
            state | {"blocks.0.bn1.weight": ones(8, np.float32)},
            "1 of .* tensors have no place in this network: blocks.0.bn1.weight",
        ),
        (state | {"blocks.4.conv1.weight": ones((8, 8, 3, 3), np.float32)}, "'blocks.2.conv1.weight' is missing"),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)


def test_names_of_others_are_left_to_others() -> None:
    state = made_state()
    for key in ("head.conv.weight", None):
        other = without(state, key) if key else {name: a for name, a in state.items() if not name.startswith("blocks.")}
        with pytest.raises(
            ModelError, match=r"unknown network: .*Known families: .*SRResNet \(SRGAN, as upres trains it\)"
        ):
            graph_from_state_dict(other)
