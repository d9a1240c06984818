"""Every engine against plain torch modules, node by node and network by network; tiles against the untiled picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomised, state_of
from upres import engines
from upres.architectures import graph_from_state_dict
from upres.errors import EngineError, UsageError
from upres.graph import Graph
from upres.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale

ENGINES = ["ncnn", "ncnn exact", "torch", "onnx"]


def load(graph: Graph, engine: str, threads: int = 1) -> engines.Runner:
    name, _, exact = engine.partition(" ")
    return engines.load(graph, engine=name, threads=threads, exact=bool(exact))


def picture(channels: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).random((1, channels, height, width), dtype=np.float32)


def reference(module: nn.Module, lr: Array) -> Array:
    with torch.no_grad():
        return module(torch.from_numpy(lr)).numpy()


RNG = np.random.default_rng(3)
SLOPES = RNG.random(5, dtype=np.float32) - 0.3
WEIGHT = RNG.normal(0, 0.3, (7, 5, 3, 3)).astype(np.float32)
BIAS = RNG.normal(0, 0.3, 7).astype(np.float32)
S = "input"
# Graphs of one kind of node each, on channels that are no multiple of a vector's width, and torch's formula for it.
NODES = {
    "conv": (
        5,
        [Conv("o", S, WEIGHT, BIAS, padding=1)],
        lambda x: F.conv2d(x, torch.from_numpy(WEIGHT), torch.from_numpy(BIAS), padding=1),
    ),
    "conv without bias": (5, [Conv("o", S, WEIGHT, padding=1)], lambda x: F.conv2d(x, torch.from_numpy(WEIGHT), padding=1)),
    "conv with stride, then back": (
        5,
        [Conv("h", S, WEIGHT, stride=2, padding=1), Resample("upsample_nearest", "o", "h", 2)],
        lambda x: F.interpolate(F.conv2d(x, torch.from_numpy(WEIGHT), stride=2, padding=1), scale_factor=2),
    ),
    "relu": (5, [Scale("c", S, -0.5), Activate("o", "c", Activation("relu"))], lambda x: F.relu(-0.5 * x)),
    "leaky relu": (5, [Scale("c", S, -0.5), Activate("o", "c", Activation("leaky_relu", 0.2))], lambda x: F.leaky_relu(-0.5 * x, 0.2)),
    "sigmoid": (5, [Scale("c", S, -3.0), Activate("o", "c", Activation("sigmoid"))], lambda x: torch.sigmoid(-3 * x)),
    "prelu": (
        5,
        [Scale("c", S, -0.5), Activate("o", "c", Activation("prelu", slopes=SLOPES))],
        lambda x: F.prelu(-0.5 * x, torch.from_numpy(SLOPES)),
    ),
    "prelu of one slope": (
        5,
        [Scale("c", S, -0.5), Activate("o", "c", Activation("prelu", slopes=SLOPES[:1]))],
        lambda x: F.prelu(-0.5 * x, torch.from_numpy(SLOPES[:1])),
    ),
    "mul": (5, [Activate("c", S, Activation("sigmoid")), Mul("o", (S, "c"))], lambda x: x * torch.sigmoid(x)),
    "add of three": (
        5,
        [Activate("c", S, Activation("sigmoid")), Mul("m", (S, "c")), Add("o", (S, "c", "m"), (1.0, -0.25, 3.0))],
        lambda x: x - 0.25 * torch.sigmoid(x) + 3 * x * torch.sigmoid(x),
    ),
    "concat": (5, [Activate("c", S, Activation("sigmoid")), Concat("o", (S, "c", S))], lambda x: torch.cat([x, torch.sigmoid(x), x], 1)),
    "max pool": (
        5,
        [MaxPool("p", S, 2, 2), Resample("upsample_nearest", "o", "p", 2)],
        lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2),
    ),
    "nearest x3": (5, [Resample("upsample_nearest", "o", S, 3)], lambda x: F.interpolate(x, scale_factor=3)),
    "pixel shuffle x2": (20, [Resample("pixel_shuffle", "o", S, 2)], lambda x: F.pixel_shuffle(x, 2)),
    "pixel shuffle x3": (18, [Resample("pixel_shuffle", "o", S, 3)], lambda x: F.pixel_shuffle(x, 3)),
    "pixel unshuffle x2": (
        5,
        [Resample("pixel_unshuffle", "u", S, 2), Resample("upsample_nearest", "o", "u", 2)],
        lambda x: F.interpolate(F.pixel_unshuffle(x, 2), scale_factor=2),
    ),
    "pixel unshuffle x4": (
        3,
        [Resample("pixel_unshuffle", "u", S, 4), Resample("upsample_nearest", "o", "u", 4)],
        lambda x: F.interpolate(F.pixel_unshuffle(x, 4), scale_factor=4),
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", NODES)
def test_each_kind_of_node(kind: str, engine: str) -> None:
    channels, nodes, formula = NODES[kind]
    graph = Graph.of(list[Node](nodes), output="o", in_channels=channels, family="test")
    lr = picture(channels, 12, 20)
    expected: Tensor = formula(torch.from_numpy(lr))
    np.testing.assert_allclose(load(graph, engine)(lr), expected.numpy(), rtol=0, atol=3e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("ups", "unshuffle"), [(0, 1), (1, 1), (2, 1), (3, 1), (2, 2), (2, 4)])
def test_small_rrdb_of_every_scale(ups: int, unshuffle: int, engine: str) -> None:
    module = randomised(RRDBNet(width=16, growth=8, blocks=2, ups=ups, unshuffle=unshuffle), 3)
    lr = picture(3, 20, 24)
    np.testing.assert_allclose(load(graph_from_state_dict(state_of(module)), engine)(lr), reference(module, lr), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_rrdb_with_23_blocks(engine: str) -> None:
    module = randomised(RRDBNet(), 3, gain=0.7)
    lr = picture(3, 17, 22)
    with torch.no_grad():  # a last layer such that the random network spans a range of 1, as pictures do
        module.conv_last.weight /= float(np.ptp(reference(module, lr)))
        module.conv_last.bias.zero_()
    expected = reference(module, lr)
    assert 0.05 < expected.std() < np.ptp(expected) < 1.5
    np.testing.assert_allclose(load(graph_from_state_dict(state_of(module)), engine)(lr), expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def published(assets: Path) -> SRVGGNetCompact:
    module = SRVGGNetCompact()
    module.load_state_dict(torch.load(assets / "weights" / "realesr-animevideov3.pth", map_location="cpu", weights_only=True)["params"])
    return module.eval()


@pytest.mark.parametrize("engine", ENGINES)
def test_compact_with_published_weights(published: SRVGGNetCompact, engine: str) -> None:
    lr = picture(3, 37, 41)
    np.testing.assert_allclose(load(graph_from_state_dict(state_of(published)), engine)(lr), reference(published, lr), rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pixel_alone_and_a_long_strip(engine: str) -> None:
    module = randomised(SRVGGNetCompact(width=8, convs=2, scale=2), 4)
    runner = load(graph_from_state_dict(state_of(module)), engine)
    for height, width in ((1, 1), (1, 50), (300, 1)):
        lr = picture(3, height, width)
        np.testing.assert_allclose(runner(lr), reference(module, lr), rtol=0, atol=3e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_runner_is_repeatable_and_its_results_are_its_callers(engine: str) -> None:
    """Pools are reused between calls: an earlier result must not change under the caller, nor the input."""
    runner = load(graph_from_state_dict(state_of(randomised(SRVGGNetCompact(width=8, convs=2, scale=2), 4))), engine)
    lr = picture(3, 20, 23)
    kept = lr.copy()
    first = runner(lr)
    copy = first.copy()
    runner(picture(3, 33, 20, seed=1))
    np.testing.assert_array_equal(first, copy)
    np.testing.assert_array_equal(lr, kept)
    np.testing.assert_array_equal(runner(lr), first)
    first[:] = 0.0  # writable
    np.testing.assert_array_equal(runner(np.asfortranarray(lr)), copy)  # any memory order


@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_that_is_not_finite_is_an_error(engine: str) -> None:
    state = state_of(randomised(SRVGGNetCompact(width=8, convs=2, scale=2), 4))
    runner = load(graph_from_state_dict(state), engine)
    lr = picture(3, 9, 9)
    lr[0, 0, 4, 4] = np.nan
    with pytest.raises(EngineError, match=r"gave \d+ of 972 values that are not finite, for an input of 9 x 9 pixels"):
        runner(lr)
    state["body.4.bias"] = state["body.4.bias"].copy()
    state["body.4.bias"][0] = np.inf
    with pytest.raises(EngineError, match=f"{engine.split()[0][:4]}.* values that are not finite"):
        load(graph_from_state_dict(state), engine)(picture(3, 9, 9))


@pytest.mark.parametrize("engine", ENGINES)
def test_input_that_does_not_fit_is_refused(engine: str) -> None:
    runner = load(graph_from_state_dict(state_of(RRDBNet(width=4, growth=3, blocks=1, unshuffle=2))), engine)
    wrong = [
        (np.zeros((1, 4, 8, 8), np.float32), r"takes float32 \(1, 3, h, w\); found float32 \(1, 4, 8, 8\)"),
        (np.zeros((3, 8, 8), np.float32), r"found float32 \(3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8), np.float32), r"found float32 \(2, 3, 8, 8\)"),
        (np.zeros((1, 3, 0, 8), np.float32), r"found float32 \(1, 3, 0, 8\)"),
        (np.zeros((1, 3, 8, 8), np.float64), r"found float64"),
        (np.zeros((1, 3, 9, 8), np.float32), "multiples of 2; found 9 x 8"),
    ]
    for lr, words in wrong:
        with pytest.raises(EngineError, match=words):
            runner(lr)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_closed_runner_says_so(engine: str) -> None:
    runner = load(graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1, scale=2))), engine)
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="runner is closed"):
        runner(picture(3, 4, 4))


def test_load_by_name() -> None:
    graph = graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1, scale=2)))
    assert engines.load(graph).name.startswith("ncnn ")
    assert engines.load(graph, engine="torch").name == f"torch {torch.__version__}"
    with pytest.raises(UsageError, match="unknown engine 'tensorrt'; choose one of auto, ncnn"):
        engines.load(graph, engine="tensorrt")
    with pytest.raises(UsageError, match="found -1"):
        engines.load(graph, threads=-1)
    with pytest.raises(UsageError, match="device 'cuda' needs engine 'torch'"):
        engines.load(graph, engine="ncnn", device="cuda")
    with pytest.raises(EngineError, match="torch cannot use device 'quantum'"):
        engines.load(graph, engine="torch", device="quantum")


def test_torch_settings_are_put_back() -> None:
    before = torch.get_num_threads(), torch.backends.mkldnn.enabled
    load(graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1, scale=2))), "torch", threads=3)(picture(3, 5, 5))
    assert (torch.get_num_threads(), torch.backends.mkldnn.enabled) == before
