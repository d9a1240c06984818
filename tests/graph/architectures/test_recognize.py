"""ncnn files of an RRDBNet or a compact network get the family's names back, to the bit where the file holds the very
weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.models.test_load import by_ncnn, pixels
from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from tests.oracles.span import SPAN
from tests.tiny import compact_state
from upres.engines.ncnn.runner import NcnnRunner
from upres.export.ncnn import write_ncnn
from upres.export.onnx import with_plain_names
from upres.graph.architectures import graph_from_state_dict
from upres.graph.architectures.recognize import recover_weights
from upres.graph.from_ncnn import graph_of
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Scale
from upres.weights.ncnn_file import read_ncnn
from upres.weights.read import read_weights

NETWORKS: dict[str, Callable[[], object]] = {
    "compact-x3": lambda: SRVGGNetCompact(width=8, convs=2, scale=3),
    "compact-x1-gray": lambda: SRVGGNetCompact(colors=1, width=8, convs=1, scale=1),
    "rrdb-x1": lambda: RRDBNet(width=8, growth=4, blocks=1, ups=0),
    "rrdb-x2": lambda: RRDBNet(width=8, growth=4, blocks=3, ups=1),
    "rrdb-x4": lambda: RRDBNet(width=8, growth=4, blocks=2),
    "rrdb-x8-gray": lambda: RRDBNet(width=8, growth=4, blocks=1, ups=3, colors=1),
    "rrdb-x2-unshuffle": lambda: RRDBNet(width=8, growth=4, blocks=1, unshuffle=2),
}


def made(name: str) -> dict[str, Array]:
    return state_of(randomized(NETWORKS[name](), 3))  # type: ignore[arg-type, return-value]


def read(param: Path) -> Graph:
    graph = graph_of(read_ncnn(param, param.with_suffix(".bin")))
    assert graph is not None
    return graph


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_a_graph_as_converters_write_it_are_equal_to_the_bit(name: str) -> None:
    state = made(name)
    found = recover_weights(with_plain_names(graph_from_state_dict(state), "data", "output"))
    assert found is not None and found.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(found[key], array)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_of_our_own_exports_give_the_file_again(name: str, half: bool, tmp_path: Path) -> None:
    """Exports are simplified: an RRDBNet's residuals are folded into its kernels, and taken out again with a rounding
    of float32.
    """
    state = made(name)
    write_ncnn(graph_from_state_dict(state), tmp_path / "m.param", tmp_path / "m.bin", half=half)
    found = recover_weights(read(tmp_path / "m.param"))
    assert found is not None and found.keys() == state.keys()
    for key, array in state.items():
        # A half stores 1 + 0.2 w, or 0.2 + 0.04 w, of which w is taken: its step at 1 is 1/1024.
        np.testing.assert_allclose(found[key], array, rtol=0, atol=(0.5 / 1024 / 0.2 + 1e-3) if half else 4e-6)
    colors = graph_from_state_dict(state).in_channels
    lr = pixels(16, 12, colors)
    sr = NcnnRunner(graph_from_state_dict(found), threads=1, exact=True)(lr.transpose(2, 0, 1)[None])[0].transpose(
        1, 2, 0
    )
    np.testing.assert_allclose(sr, by_ncnn(tmp_path / "m.param", lr, "data", "output"), rtol=0, atol=2e-5)


def test_published_rrdb_file_has_the_weights_of_the_safetensors_file(assets: Path) -> None:
    folder = assets / "weights" / "realesrgan"
    expected = read_weights(folder / "RealESRGAN_x4plus_anime_6B.f16.safetensors")
    param = folder / "realesrgan-x4plus-anime.param"
    found = recover_weights(read(param))
    assert found is not None and found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)
    graph = graph_from_state_dict(found)
    assert (graph.family, graph.scale) == ("rrdb", 4)
    lr = pixels(24, 20)
    sr = NcnnRunner(graph, threads=1, exact=True)(lr.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    np.testing.assert_allclose(sr, by_ncnn(param, lr, "data", "output"), rtol=0, atol=2e-5)


def test_published_compact_files_have_the_weights_that_they_store(assets: Path) -> None:
    """general-x4v3 and its twin: 34 convolutions of 64, weights in float16, slopes in float32."""
    for name in ("RealESRGAN_General_x4_v3", "RealESRGAN_General_WDN_x4_v3"):
        param = assets / "weights" / f"{name}.param"
        model = read_ncnn(param, param.with_suffix(".bin"))
        found = recover_weights(read(param))
        assert found is not None and sum(array.size for array in found.values()) == model.parameters == 1_213_296
        stored = [array.reshape(-1) for arrays in model.weights for array in arrays]
        for array, expected in zip(found.values(), stored, strict=True):
            np.testing.assert_array_equal(array.reshape(-1), expected)
        graph = graph_from_state_dict(found)
        assert (graph.family, graph.scale, graph.receptive_field) == ("compact", 4, 34)


@pytest.mark.parametrize("activation", [Activation("relu"), Activation("leaky_relu", slope=0.1)])
def test_a_compact_network_with_one_slope_gets_slopes(activation: Activation) -> None:
    state = compact_state(2)
    graph = graph_from_state_dict(state)
    nodes = tuple(replace(node, activation=activation) if isinstance(node, Activate) else node for node in graph.nodes)
    found = recover_weights(replace(graph, nodes=nodes))
    assert found is not None
    np.testing.assert_array_equal(found["body.1.weight"], np.full(4, activation.slope, np.float32))
    np.testing.assert_array_equal(found["body.2.weight"], state["body.2.weight"])


def other_residual(node: object) -> object:
    return replace(node, factor=0.1) if isinstance(node, Scale) else node


def other_slope(node: object) -> object:
    return replace(node, activation=Activation("leaky_relu", slope=0.1)) if isinstance(node, Activate) else node


def other_order(node: object) -> object:
    return (
        replace(node, inputs=node.inputs[1:] + node.inputs[:1])
        if isinstance(node, Concat) and len(node.inputs) == 3
        else node
    )


def no_long_skip(node: object) -> object:
    return replace(node, coefficients=(1.0, 0.5)) if isinstance(node, Add) and node.output == "trunk" else node


@pytest.mark.parametrize("change", [other_residual, other_slope, other_order, no_long_skip])
def test_a_variant_of_rrdb_is_not_taken_for_one(change: Callable[[object], object]) -> None:
    """All have the convolutions of an RRDBNet, of the same shapes."""
    state = state_of(randomized(RRDBNet(width=4, growth=4, blocks=1), 3))
    graph = graph_from_state_dict(state)
    assert recover_weights(graph) is not None
    assert recover_weights(replace(graph, nodes=tuple(map(change, graph.nodes)))) is None  # type: ignore[arg-type]


def test_another_family_is_not_recognized() -> None:
    assert recover_weights(graph_from_state_dict(state_of(randomized(SPAN(width=8, scale=2), 3)))) is None
