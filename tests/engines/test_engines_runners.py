"""What every runner does with its input and its end: shapes, repeats, refusals, memory that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.engines.test_engines import (
    Row,
    S,
    check,
    every_row,
    every_row_and_gpu,
    in_float32,
    load,
    picture,
    reference,
)
from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres import engines
from upres.errors import EngineError, NotFiniteError, OutOfMemoryError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Resample


@every_row
def test_a_pixel_alone_and_a_long_strip(row: Row) -> None:
    module = randomized(SRVGGNetCompact(width=8, convs=2, scale=2), 4)
    runner = load(graph_from_state_dict(state_of(module)), row)
    for height, width in ((1, 1), (1, 50), (300, 1)):
        lr = picture(3, height, width)
        check(runner(lr), reference(module, lr), row, 3e-6)


@every_row_and_gpu
def test_a_runner_is_repeatable_and_its_results_are_its_callers(row: Row) -> None:
    """Pools are reused between calls: an earlier result must not change under the caller, nor the input."""
    runner = load(graph_from_state_dict(state_of(randomized(SRVGGNetCompact(width=8, convs=2, scale=2), 4))), row)
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


@every_row
def test_a_value_that_is_not_finite_is_an_error(row: Row) -> None:
    state = state_of(randomized(SRVGGNetCompact(width=8, convs=2, scale=2), 4))
    runner = load(graph_from_state_dict(state), row)
    lr = picture(3, 9, 9)
    lr[0, 0, 4, 4] = np.nan
    with pytest.raises(NotFiniteError, match=r"returned \d+ of 972 values as NaN or infinity for 9 x 9 pixels"):
        runner(lr)
    state["body.4.bias"] = state["body.4.bias"].copy()
    state["body.4.bias"][0] = np.inf
    with pytest.raises(NotFiniteError, match=f"{row.engine}.* values as NaN or infinity"):
        load(graph_from_state_dict(state), row)(picture(3, 9, 9))


@every_row
def test_input_that_does_not_fit_is_refused(row: Row) -> None:
    runner = load(graph_from_state_dict(state_of(RRDBNet(width=4, growth=3, blocks=1, unshuffle=2))), row)
    wrong = [
        (np.zeros((1, 4, 8, 8), np.float32), r"expected float32 \(1, 3, h, w\), got float32 \(1, 4, 8, 8\)"),
        (np.zeros((3, 8, 8), np.float32), r"got float32 \(3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8), np.float32), r"got float32 \(2, 3, 8, 8\)"),
        (np.zeros((1, 3, 0, 8), np.float32), r"got float32 \(1, 3, 0, 8\)"),
        (np.zeros((1, 3, 8, 8), np.float64), r"got float64"),
        (np.zeros((1, 3, 9, 8), np.float32), "multiples of 2, got 9 x 8"),
    ]
    for lr, words in wrong:
        with pytest.raises(EngineError, match=words):
            runner(lr)  # type: ignore[arg-type]


@every_row
def test_a_closed_runner_says_so(row: Row) -> None:
    runner = load(graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1, scale=2))), row)
    runner.close()
    runner.close()
    with pytest.raises(EngineError, match="runner is closed"):
        runner(picture(3, 4, 4))


def test_load_by_name() -> None:
    graph = graph_from_state_dict(state_of(SRVGGNetCompact(width=4, convs=1, scale=2)))
    assert engines.load(graph).name.startswith("ncnn ")
    assert engines.load(graph, engine="torch").name == f"torch {torch.__version__}"
    with pytest.raises(UsageError, match="`engine` must be one of auto, ncnn, torch, onnx, openvino; got 'tensorrt'"):
        engines.load(graph, engine="tensorrt")
    with pytest.raises(UsageError, match="got -1"):
        engines.load(graph, threads=-1)
    with pytest.raises(UsageError, match=r"engine 'ncnn' has no device 'cuda': .*needs `engine` torch or onnx"):
        engines.load(graph, engine="ncnn", device="cuda")
    with pytest.raises(UsageError, match=r"`device` must be auto or one of cpu, vulkan, cuda, .*; got 'quantum'"):
        engines.load(graph, engine="torch", device="quantum")


def _memory_is_promised() -> bool:
    """Whether the system promises more than it has: it would then be ground down, not refuse."""
    policy = Path("/proc/sys/vm/overcommit_memory")
    return not policy.exists() or policy.read_text().strip() == "1"


@in_float32
@pytest.mark.skipif(_memory_is_promised(), reason="this system promises memory that it does not have")
def test_too_little_memory_has_an_error_of_its_own_and_the_runner_goes_on(row: Row) -> None:
    graph = Graph.of([Resample("upsample_nearest", "o", S, 1024)], output="o", in_channels=1, family="test")
    runner = load(graph, row)
    before = runner(picture(1, 1, 1))
    with pytest.raises(OutOfMemoryError, match=r"of memory on .*1000 x 1000 pixels.*; try a smaller tile"):
        runner(picture(1, 1000, 1000))  # 4 TB
    np.testing.assert_array_equal(runner(picture(1, 1, 1)), before)
