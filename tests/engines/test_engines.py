"""Every engine that is installed, in every precision that it has here, against plain torch modules: node by node,
network by network.

A new engine needs one row in `ROWS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres import engines
from upres.engines.ncnn.devices import vulkan_devices
from upres.engines.registry import open_graph
from upres.engines.runner import Precision
from upres.engines.sample_picture import sample
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale


@dataclass(frozen=True)
class Row:
    """An engine on a device in a precision."""

    engine: str
    device: str = "cpu"
    precision: Precision = "fp32"
    exact: bool = False

    def __str__(self) -> str:
        return " ".join([self.engine, self.device, self.precision, *(["exact"] if self.exact else [])])

    @property
    def missing(self) -> str:
        """Why it cannot run here, or nothing."""
        if self.device.startswith("vulkan") and not _vulkan():
            return "no Vulkan driver"
        return ""


@cache
def _vulkan() -> bool:
    return bool(vulkan_devices()[0])


ROWS = [
    Row("ncnn"),
    Row("ncnn", exact=True),
    Row("torch"),
    Row("torch", precision="fp16"),
    Row("torch", precision="bf16"),
    Row("onnx"),
    Row("onnx", precision="fp16"),
    Row("openvino"),
]
# a software driver takes a second to make a network ready
GPUS = [Row("ncnn", "vulkan"), Row("ncnn", "vulkan", "fp16")]
# What a value may be off by, over the largest of a result: 11 and 8 bits are kept after every layer, on some GPUs after
# every product.
HALF = {"fp16": 1e-2, "bf16": 3e-2}
every_row = pytest.mark.parametrize("row", ROWS, ids=str)
in_float32 = pytest.mark.parametrize("row", [row for row in ROWS if row.precision == "fp32"], ids=str)
_on_gpus = [pytest.param(row, marks=pytest.mark.vulkan) for row in GPUS]
every_row_and_gpu = pytest.mark.parametrize("row", [*ROWS, *_on_gpus], ids=str)


def load(graph: Graph, row: Row, threads: int = 1) -> engines.Runner:
    if row.missing:
        pytest.skip(row.missing)
    return open_graph(
        graph, engine=row.engine, threads=threads, exact=row.exact, device=row.device, precision=row.precision
    )


def check(found: Array, expected: Array, row: Row, atol: float) -> None:
    """atol: in float32."""
    if row.precision != "fp32":
        atol = HALF[row.precision] * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


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
    "conv without bias": (
        5,
        [Conv("o", S, WEIGHT, padding=1)],
        lambda x: F.conv2d(x, torch.from_numpy(WEIGHT), padding=1),
    ),
    "conv with stride, then back": (
        5,
        [Conv("h", S, WEIGHT, stride=2, padding=1), Resample("upsample_nearest", "o", "h", 2)],
        lambda x: F.interpolate(F.conv2d(x, torch.from_numpy(WEIGHT), stride=2, padding=1), scale_factor=2),
    ),
    "relu": (5, [Scale("c", S, -0.5), Activate("o", "c", Activation("relu"))], lambda x: F.relu(-0.5 * x)),
    "leaky relu": (
        5,
        [Scale("c", S, -0.5), Activate("o", "c", Activation("leaky_relu", 0.2))],
        lambda x: F.leaky_relu(-0.5 * x, 0.2),
    ),
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
    "concat": (
        5,
        [Activate("c", S, Activation("sigmoid")), Concat("o", (S, "c", S))],
        lambda x: torch.cat([x, torch.sigmoid(x), x], 1),
    ),
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


@every_row
@pytest.mark.parametrize("kind", NODES)
def test_each_kind_of_node(kind: str, row: Row) -> None:
    channels, nodes, formula = NODES[kind]
    graph = Graph.of(list[Node](nodes), output="o", in_channels=channels, family="test")
    lr = picture(channels, 12, 20) - np.float32(0.5)  # both sides of every kink
    expected: Tensor = formula(torch.from_numpy(lr))
    check(load(graph, row)(lr), expected.numpy(), row, 3e-6)


@pytest.mark.slow
@every_row
@pytest.mark.parametrize(("ups", "unshuffle"), [(0, 1), (1, 1), (2, 1), (3, 1), (2, 2), (2, 4)])
def test_small_rrdb_of_every_scale(ups: int, unshuffle: int, row: Row) -> None:
    module = randomized(RRDBNet(width=16, growth=8, blocks=1, ups=ups, unshuffle=unshuffle), 3)
    lr = picture(3, 12, 16)
    check(load(graph_from_state_dict(state_of(module)), row)(lr), reference(module, lr), row, 1e-5)


@pytest.mark.slow
@in_float32
def test_rrdb_with_23_blocks(row: Row) -> None:
    module = randomized(RRDBNet(width=16, growth=8), 3, gain=0.7)
    lr = picture(3, 17, 22)
    with torch.no_grad():  # a last layer such that the random network spans a range of 1, as pictures do
        module.conv_last.weight /= float(np.ptp(reference(module, lr)))
        module.conv_last.bias.zero_()
    expected = reference(module, lr)
    assert 0.05 < expected.std() < np.ptp(expected) < 1.5
    check(load(graph_from_state_dict(state_of(module)), row)(lr), expected, row, 1e-5)


@pytest.fixture(scope="module")
def published(assets: Path) -> SRVGGNetCompact:
    module = SRVGGNetCompact()
    module.load_state_dict(
        torch.load(assets / "weights" / "realesr-animevideov3.pth", map_location="cpu", weights_only=True)["params"]
    )
    return module.eval()


@pytest.mark.slow
@every_row_and_gpu
def test_compact_with_published_weights(published: SRVGGNetCompact, row: Row) -> None:
    graph = graph_from_state_dict(state_of(published))
    lr = sample(3, 21, 30)
    expected = reference(published, lr)
    runner = load(graph, row)
    assert (runner.device.partition(":")[0], runner.precision) == (row.device, row.precision)
    found = runner(lr)
    check(found, expected, row, 1e-5)
    if row.precision != "fp32":  # what it says it does, it does: float32 comes ten times nearer
        assert np.abs(found - expected).max() > 1e-4
