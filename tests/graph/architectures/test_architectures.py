"""State dicts of plain torch modules, in every dialect, become the network they came from; damaged and foreign ones are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, esrgan_keys, old_esrgan_keys, randomized, state_of
from upres.engines.torch import TorchRunner
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict

State = dict[str, np.ndarray]


def small(ups: int = 2, unshuffle: int = 1, colors: int = 3) -> RRDBNet:
    return RRDBNet(colors=colors, width=8, growth=4, blocks=2, ups=ups, unshuffle=unshuffle)


def assert_same_function(state: State, module: nn.Module, channels: int = 3) -> None:
    graph = graph_from_state_dict(state)
    lr = torch.rand(1, channels, 16, 20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = module(lr).numpy()
    np.testing.assert_allclose(TorchRunner(graph.simplify(), threads=1)(lr.numpy()), expected, rtol=0, atol=1e-5)


SCALES = [(0, 1, 1, 1), (1, 1, 2, 1), (2, 1, 4, 1), (3, 1, 8, 1), (2, 2, 2, 2), (2, 4, 1, 4)]


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


@pytest.mark.parametrize("prefix", ["module.", "netG.", "generator.", "module.netG."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str) -> None:
    state = state_of(small())
    assert graph_from_state_dict({prefix + key: array for key, array in state.items()}).scale == 4


def test_half_precision_is_widened() -> None:
    state = {key: array.astype(np.float16) for key, array in state_of(small()).items()}
    assert graph_from_state_dict(state).nodes[0].weight.dtype == np.float32


def without(state: State, key: str) -> State:
    return {name: array for name, array in state.items() if name != key}


def test_damaged_rrdb_names_the_tensor() -> None:
    state = state_of(small())
    damaged = [
        (without(state, "body.1.rdb2.conv3.bias"), r"RRDBNet: tensor 'body.1.rdb2.conv3.bias' is missing; expected shape \(4\)"),
        (without(state, "body.0.rdb1.conv1.weight"), r"'body.0.rdb1.conv1.weight' is missing; expected shape \(any, 8, 3, 3\)"),
        (without(state, "conv_up1.weight"), "have no place in this network: conv_up1.bias, conv_up2.weight"),
        (state | {"body.0.rdb1.conv2.weight": np.ones((4, 11, 3, 3), np.float32)}, r"has shape \(4, 11, 3, 3\); expected \(4, 12, 3, 3\)"),
        (state | {"conv_first.weight": np.ones((8, 6, 3, 3), np.float32)}, "takes 6 channels and the last gives 3; expected 3, 12 or 48"),
        (state | {"conv_hr.weight": np.ones((8, 8, 3, 3), np.int32)}, "'conv_hr.weight' is of type int32; expected floats"),
        (state | {"attention.weight": np.ones(3, np.float32)}, r"1 of \d+ tensors have no place in this network: attention.weight"),
        (state | {"body.0.rdb1.conv1x1.weight": np.ones((4, 8, 1, 1), np.float32)}, r"ESRGAN\+ network \(extra conv1x1 branches"),
        (state | {"body.5.rdb1.conv1.weight": np.ones((4, 8, 3, 3), np.float32)}, "'body.2.rdb1.conv1.weight' is missing"),
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


def test_damaged_compact_names_the_tensor() -> None:
    state = state_of(SRVGGNetCompact(width=6, convs=2, scale=2))
    damaged = [
        (without(state, "body.2.bias"), r"SRVGGNetCompact: tensor 'body.2.bias' is missing; expected shape \(6\)"),
        (without(state, "body.3.weight"), "'body.3.weight' is missing"),
        (state | {"body.1.weight": np.ones(5, np.float32)}, r"'body.1.weight' has shape \(5,\); expected \(6\)"),
        (state | {"tail.weight": np.ones(5, np.float32)}, "have no place in this network: tail.weight"),
        ({key: a for key, a in state.items() if key[5] in "024"}, "does not say which|'body.6"),
        (state | {"body.6.weight": np.ones((13, 6, 3, 3), np.float32), "body.6.bias": np.ones(13, np.float32)}, "SRVGGNetCompact: "),
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


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("layers.0.residual_group.blocks.0.attn.relative_position_bias_table", "SwinIR"),
        ("layers.0.residual_group.overlap_attn.relative_position_bias_table", "HAT"),
        ("block_1.c1_r.sk.weight", "SPAN"),
        ("feats.1.lk.conv.weight", "RealPLKSR"),
        ("residual_layer.0.residual_layer.0.layer.0.fn.weight", "OmniSR"),
        ("conv1.weight_orig", "a GAN discriminator"),
        ("classifier.0.weight", "a VGG classifier"),
        ("layers.0.blocks.0.attn.attns.0.pos.pos_proj.weight", "DAT"),
    ],
)
def test_other_families_are_named(key: str, family: str) -> None:
    with pytest.raises(ModelError, match=rf"found 1 tensors with keys like {key} \(3,\).* It looks like {family}"):
        graph_from_state_dict({key: np.ones(3, np.float32)})


def test_unknown_and_empty_state_dicts() -> None:
    with pytest.raises(ModelError, match=r"unknown network: found 5 tensors with keys like a0 \(2,\), .*Known families: RRDB.*SRVGG"):
        graph_from_state_dict({f"a{i}": np.ones(2, np.float32) for i in range(5)})
    with pytest.raises(ModelError, match="holds no tensors"):
        graph_from_state_dict({})
