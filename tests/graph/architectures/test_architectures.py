"""What holds for state dicts of every family: prefixes are taken off, half precision is widened, foreign networks are
refused by name.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.oracles.networks import RRDBNet, state_of
from upres.engines.torch import TorchRunner
from upres.errors import ModelError
from upres.graph.architectures import canonical, graph_from_state_dict

State = dict[str, np.ndarray]


def small(ups: int = 2, unshuffle: int = 1, colors: int = 3) -> RRDBNet:
    return RRDBNet(colors=colors, width=8, growth=4, blocks=2, ups=ups, unshuffle=unshuffle)


def assert_same_function(state: State, module: nn.Module, channels: int = 3) -> None:
    graph = graph_from_state_dict(state)
    lr = torch.rand(1, channels, 16, 20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = module(lr).numpy()
    np.testing.assert_allclose(TorchRunner(graph.simplify(), threads=1)(lr.numpy()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("prefix", ["module.", "netG.", "generator.", "module.netG."])
def test_prefixes_of_wrappers_are_taken_off(prefix: str) -> None:
    state = state_of(small())
    assert graph_from_state_dict({prefix + key: array for key, array in state.items()}).scale == 4


def test_what_trainers_and_profilers_leave_beside_the_network_is_passed_over() -> None:
    """thop's counters in every module, SWA's number of averages, a discriminator in one state dict, torch.compile."""
    state = state_of(small())
    counted = {f"{key.rpartition('.')[0]}.total_ops": np.zeros(1) for key in state} | {"total_params": np.zeros(1)}
    swa = {f"module.{key}": array for key, array in state.items()} | {"n_averaged": np.array(3)}
    lightning = {f"generator.{key}": array for key, array in state.items()} | {"discriminator.a": np.ones(2)}
    compiled = {f"_orig_mod.{key}": array for key, array in state.items()}
    for found in (state | counted, swa, lightning, compiled):
        assert graph_from_state_dict(found).scale == 4
        assert canonical(found).keys() == canonical(state).keys()


def test_half_precision_is_widened() -> None:
    state = {key: array.astype(np.float16) for key, array in state_of(small()).items()}
    assert graph_from_state_dict(state).nodes[0].weight.dtype == np.float32


def without(state: State, key: str) -> State:
    return {name: array for name, array in state.items() if name != key}


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
    with pytest.raises(
        ModelError, match=r"unknown network: found 5 tensors with keys like a0 \(2,\), .*Known families: .*RRDB.*SRVGG"
    ):
        graph_from_state_dict({f"a{i}": np.ones(2, np.float32) for i in range(5)})
    with pytest.raises(ModelError, match="holds no tensors"):
        graph_from_state_dict({})
