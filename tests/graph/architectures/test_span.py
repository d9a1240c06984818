"""SPAN files become the network that their branches say, in every engine; stale copies are not read; damaged ones are
refused by name.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.oracles.networks import randomized, state_of
from tests.oracles.span import SPAN, Conv3XC, merge_by_torch
from upres import engines
from upres.engines.torch import TorchRunner
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.architectures.keys import Keys
from upres.graph.architectures.span import _merged
from upres.upscaling.upscaler import Upscaler

State = dict[str, np.ndarray]


def made(seed: int = 1, **settings: object) -> SPAN:
    module = SPAN(**{"width": 8, "scale": 2} | settings)  # type: ignore[arg-type]
    randomized(module, seed, gain=0.8)
    if module.norm:
        with torch.no_grad():  # what comes in is 255 times as large
            for parameter in module.conv_1.parameters():
                parameter /= 6.0
    return module


def answer(module: torch.nn.Module, lr: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(lr)).numpy()


def pixels(channels: int = 3, height: int = 13, width: int = 17) -> np.ndarray:
    return np.random.default_rng(4).random((1, channels, height, width), dtype=np.float32)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("norm", [False, True])
def test_scale_mean_and_function(scale: int, norm: bool) -> None:
    module = made(scale=scale, norm=norm)
    graph = graph_from_state_dict(state_of(module))
    assert (graph.family, graph.scale, graph.in_channels, graph.out_channels, graph.alignment) == (
        "span",
        scale,
        3,
        3,
        1,
    )
    expected = answer(module, pixels())
    np.testing.assert_allclose(
        TorchRunner(graph, threads=1)(pixels()), expected, rtol=0, atol=3e-6 * max(1.0, np.abs(expected).max())
    )


def test_the_mean_stands_for_the_border() -> None:
    """The head's zero padding is the mean's color, not black: a picture of the mean has no border at all."""
    module = made(norm=True)
    flat = np.broadcast_to(np.array([0.4488, 0.4371, 0.4040], np.float32)[:, None, None], (3, 9, 9))[None].copy()
    graph = graph_from_state_dict(state_of(module))
    np.testing.assert_allclose(TorchRunner(graph, threads=1)(flat), answer(module, flat), rtol=0, atol=1e-5)


def test_gray_and_networks_without_bias() -> None:
    for settings in ({"colors": 1}, {"bias": False}):
        module = made(**settings)
        lr = pixels(settings.get("colors", 3))
        graph = graph_from_state_dict(state_of(module))
        np.testing.assert_allclose(TorchRunner(graph, threads=1)(lr), answer(module, lr), rtol=0, atol=3e-6)


@pytest.mark.parametrize("engine", ["ncnn", "ncnn exact", "torch", "onnx"])
def test_every_engine(engine: str) -> None:
    module = made()
    name, _, exact = engine.partition(" ")
    runner = engines.load(graph_from_state_dict(state_of(module)), engine=name, threads=1, exact=bool(exact))
    np.testing.assert_allclose(runner(pixels()), answer(module, pixels()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("into", "out", "bias"), [(3, 8, True), (5, 5, False), (4, 6, True)])
def test_branches_are_merged_into_the_kernel_that_single_pixels_show(into: int, out: int, bias: bool) -> None:
    module = randomized(Conv3XC(into, out, bias=bias), 7)
    state = {f"c.{key}": array for key, array in state_of(module).items()}
    weight, offset = _merged(Keys(state, "SPAN"), state, "c", out, into)
    expected, expected_bias = merge_by_torch(module)
    np.testing.assert_allclose(weight, expected.numpy(), rtol=0, atol=2e-6)
    np.testing.assert_allclose(offset, expected_bias.numpy(), rtol=0, atol=2e-6)


def test_a_file_of_merged_kernels_alone() -> None:
    module = made()
    state = state_of(module)
    merged = {key: array for key, array in state.items() if ".sk." not in key and ".conv." not in key}
    for name, part in module.named_modules():
        if isinstance(part, Conv3XC):
            weight, bias = merge_by_torch(part)
            merged[f"{name}.eval_conv.weight"], merged[f"{name}.eval_conv.bias"] = weight.numpy(), bias.numpy()
    graph = graph_from_state_dict(merged)
    np.testing.assert_allclose(TorchRunner(graph, threads=1)(pixels()), answer(module, pixels()), rtol=0, atol=1e-5)


def test_published_size() -> None:
    """48 features, x4, by hand: 9 * 3 * 48 for the head, 19 convolutions of 48, the 1x1 of 192, the last of 48."""
    graph = graph_from_state_dict(state_of(SPAN()))
    assert graph.macs_per_pixel == 9 * 3 * 48 + 19 * 9 * 48 * 48 + 192 * 48 + 9 * 48 * 48
    assert graph.receptive_field == 1 + 18 + 1 + 1


@pytest.mark.parametrize("engine", ["ncnn", "torch"])
def test_tiles_are_exact(engine: str) -> None:
    graph = graph_from_state_dict(state_of(made()))
    lr = pixels(3, 60, 31)[0].transpose(1, 2, 0)
    whole, tiled = (
        Upscaler(graph, engine=engine, threads=1, exact=True, tile_px=px).upscale_array(lr) for px in (None, 12)
    )
    # torch's sigmoid rounds the last few values of a row of memory in another way than the rest, wherever that row
    # ends.
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=0 if engine == "ncnn" else 1e-6)


def without(state: State, key: str) -> State:
    return {name: array for name, array in state.items() if name != key}


def test_damaged_files_name_the_tensor() -> None:
    state = state_of(made())
    ones = np.ones
    damaged = [
        (
            without(state, "block_3.c2_r.conv.1.weight"),
            r"SPAN: tensor 'block_3.c2_r.conv.1.weight' is missing; .*\(any, 16, 3, 3\)",
        ),
        (without(state, "conv_cat.bias"), "'conv_cat.bias' is missing"),
        (
            {key: a for key, a in state.items() if not key.startswith("block_6.c3_r")},
            "'block_6.c3_r.eval_conv.weight' is missing",
        ),
        (
            state | {"block_2.c1_r.sk.weight": ones((8, 9, 1, 1), np.float32)},
            r"has shape \(8, 9, 1, 1\); expected \(8, 8, 1, 1\)",
        ),
        (
            state | {"block_7.c1_r.sk.weight": ones((8, 8, 1, 1), np.float32)},
            "no place in this network: block_7.c1_r.sk.weight",
        ),
        (
            state | {"upsampler.0.weight": ones((13, 8, 3, 3), np.float32), "upsampler.0.bias": ones(13, np.float32)},
            "gives 13 channels",
        ),
    ]
    for broken, words in damaged:
        with pytest.raises(ModelError, match=words):
            graph_from_state_dict(broken)
    gray = without(state_of(made(colors=1)), "no_norm")
    with pytest.raises(ModelError, match="takes 1 channels and has no key 'no_norm'"):
        graph_from_state_dict(gray)


def test_the_fast_variant_is_named() -> None:
    state = {key.replace("conv_1.", "conv_9x9."): array for key, array in state_of(made()).items()}
    with pytest.raises(ModelError, match="It looks like SPAN, which upres cannot run"):
        graph_from_state_dict(state)
