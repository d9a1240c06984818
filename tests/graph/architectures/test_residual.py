"""The file of a residual network becomes the network that its names say, in every engine; damaged ones are refused by
name.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.oracles.residual import ResidualNet  # noqa: E402
from upres import engines  # noqa: E402
from upres.errors import ModelError  # noqa: E402
from upres.graph.architectures import graph_from_state_dict  # noqa: E402
from upres.upscaling.upscaler import Upscaler  # noqa: E402

State = dict[str, np.ndarray]


def made(seed: int = 0, **sizes: int) -> ResidualNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ResidualNet(**sizes).eval()


def state_of(net: ResidualNet) -> State:
    return {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).random(shape, dtype=np.float32)


def expected(net: ResidualNet, lr: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return net(torch.from_numpy(lr)).numpy()


@pytest.mark.parametrize(
    ("scale", "colors", "groups", "length"), [(1, 3, 1, 4), (2, 1, 2, 4), (3, 3, 1, 2), (4, 3, 3, 4), (8, 3, 1, 1)]
)
def test_names_and_shapes_decide_everything(scale: int, colors: int, groups: int, length: int) -> None:
    net = made(scale=scale, colors=colors, groups=groups, length=length)
    graph = graph_from_state_dict(state_of(net))
    assert (graph.family, graph.scale, graph.in_channels, graph.out_channels) == ("residual", scale, colors, colors)
    assert graph.parameters == sum(array.size for array in state_of(net).values())
    assert graph.receptive_field == groups * length + 2
    lr = pixels(1, colors, 11, 14)
    np.testing.assert_allclose(engines.load(graph, engine="torch", threads=1)(lr), expected(net, lr), rtol=0, atol=2e-6)


@pytest.mark.parametrize("engine", ["ncnn", "ncnn exact", "torch", "onnx", "openvino"])
@pytest.mark.parametrize("size", [(23, 18), (1, 1), (5, 40)])
def test_engines_agree(engine: str, size: tuple[int, int]) -> None:
    net = made(width=32)
    name, _, exact = engine.partition(" ")
    runner = engines.load(graph_from_state_dict(state_of(net)), engine=name, threads=1, exact=bool(exact))
    lr = pixels(1, 3, *size)
    np.testing.assert_allclose(runner(lr), expected(net, lr), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ["ncnn", "torch"])
def test_tiles_are_exact(engine: str) -> None:
    graph = graph_from_state_dict(state_of(made()))
    lr = pixels(40, 33, 3)
    whole, tiled = (
        Upscaler(graph, engine=engine, threads=1, exact=True, tile_px=px).upscale_array(lr) for px in (None, 16)
    )
    np.testing.assert_array_equal(tiled, whole)


def test_the_sizes_of_the_house_models() -> None:
    small, large = (graph_from_state_dict(state_of(made(width=w, groups=g))) for w, g in ((32, 3), (64, 4)))
    assert small.parameters == 896 + 12 * 9_248 + 1_056 + 13_872 == 126_800
    assert large.parameters == 1_792 + 16 * 36_928 + 4_160 + 27_696 == 624_496


def test_damaged_files_name_the_tensor() -> None:
    state = state_of(made())
    ones = np.ones
    damaged: list[tuple[State, str]] = [
        (
            {k: v for k, v in state.items() if k != "groups.1.2.bias"},
            r"residual network: tensor 'groups.1.2.bias' is missing",
        ),
        ({k: v for k, v in state.items() if not k.startswith("groups.0.3")}, "'groups.0.3.weight' is missing"),
        (
            state | {"join.weight": ones((8, 8, 3, 3), np.float32)},
            r"'join.weight' has shape \(8, 8, 3, 3\); expected \(8, 8, 1, 1\)",
        ),
        (
            state | {"tail.weight": ones((47, 8, 3, 3), np.float32), "tail.bias": ones(47, np.float32)},
            "gives 47 channels; expected 3",
        ),
        (
            state | {"groups.0.0.slopes": ones(8, np.float32)},
            "1 of .* tensors have no place in this network: groups.0.0.slopes",
        ),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)
