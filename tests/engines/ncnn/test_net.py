"""Whose memory a picture of ncnn is, and what its error codes become. `ncnn.Mat(array)` borrows the array's memory."""

from __future__ import annotations

import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ncnn
import numpy as np
import pytest

from tests import made_ncnn
from tests.engines.ncnn.test_runner import RNG
from tests.made_ncnn import bilinear_x2
from tests.models.test_load import pixels
from tests.tiny import compact
from upres.engines.ncnn.arrays import own_mat
from upres.engines.ncnn.net import NcnnNet
from upres.engines.ncnn.opaque import NcnnProgram
from upres.engines.ncnn.runner import NcnnRunner
from upres.errors import EngineError, OutOfMemoryError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation


def test_the_engines_mat_is_a_copy() -> None:
    lr = RNG.random((3, 8, 8), dtype=np.float32)
    before = lr.copy()
    mat = own_mat(lr)
    lr[:] = 7.0
    np.testing.assert_array_equal(np.array(mat), before)


def test_an_array_that_is_no_block_of_memory_is_copied_before_its_own_copy_is_freed() -> None:
    # 64 KB come from the heap, which writes into what is freed: without a name for the copy the first values are not
    # those of the picture.
    turned = RNG.random((3, 73, 75), dtype=np.float32).transpose(0, 2, 1)
    for _ in range(20):
        np.testing.assert_array_equal(np.array(own_mat(turned)), turned)


def test_a_layer_that_works_in_place_leaves_the_callers_picture_alone(tmp_path: Path) -> None:
    lr = RNG.normal(size=(1, 3, 9, 11)).astype(np.float32)
    before = lr.copy()
    graph = Graph.of([Activate("o", "input", Activation("relu"))], output="o", in_channels=3, family="test")
    np.testing.assert_array_equal(NcnnRunner(graph, threads=1)(lr), np.maximum(before, 0.0))
    np.testing.assert_array_equal(lr, before)
    relu = NcnnProgram(made_ncnn.write(tmp_path, ["Input in 0 1 a", "ReLU relu 1 1 a b 0=0.0"], b""), threads=1)
    np.testing.assert_array_equal(relu(lr), np.maximum(before, 0.0))
    np.testing.assert_array_equal(lr, before)


def test_results_are_our_own_memory(tmp_path: Path) -> None:
    first, second = (RNG.random((1, 3, 24, 24), dtype=np.float32) for _ in range(2))
    for engine in (NcnnRunner(compact(2), threads=1), NcnnProgram(made_ncnn.bilinear_x2(tmp_path), threads=1)):
        sr = engine(first)
        kept = sr.copy()
        engine(second)
        engine.close()
        np.testing.assert_array_equal(sr, kept)


@pytest.mark.slow
def test_our_mat_copies_where_ncnns_borrows(tmp_path: Path) -> None:
    """`ncnn.Mat(array)` is the array's own memory and keeps nothing alive: what is written there later is what ncnn
    would compute with.
    """
    array = np.zeros((1, 4, 4), np.float32)
    mat = ncnn.Mat(array)
    copy = ncnn.Mat(array).clone()
    array[:] = 7.0
    assert np.array(mat).max() == 7.0 and np.array(copy).max() == 0.0  # the trap, and the way out
    program = NcnnProgram(bilinear_x2(tmp_path), threads=1)
    lr = pixels(20, 20).transpose(2, 0, 1)[None].copy()
    kept = lr.copy()
    expected = program(lr)
    for _ in range(5):  # temporaries of temporaries, and memory that is used again at once
        found = program(pixels(20, 20).transpose(2, 0, 1)[None].copy() + np.float32(0))
        gc.collect()
        np.zeros((64, 20, 20), np.float32).fill(9.0)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(lr, kept)  # no layer works in place on the caller's picture
    program.close()
    with pytest.raises(EngineError, match="closed"):
        program(lr)


class _Extractor:
    """Gives what ncnn gives: a code, and a value that is empty where it failed."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 0

    def extract(self, name: str) -> tuple[int, Any]:
        return self._code, SimpleNamespace(empty=lambda: True)


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (-100, OutOfMemoryError, "out of memory on cpu for 6 x 5 pixels; try a smaller tile"),
        (-1, EngineError, r"failed on cpu \(code -1\) for 6 x 5 pixels"),
        (0, OutOfMemoryError, "out of memory on cpu"),  # an empty value without a code
    ],
)
def test_an_ncnn_return_code_becomes_an_error(code: int, kind: type[Exception], words: str) -> None:
    runner = NcnnRunner(compact(2), threads=1)
    net: NcnnNet = runner._net  # pyright: ignore[reportPrivateUsage]
    broken = SimpleNamespace(create_extractor=lambda: _Extractor(code), clear=lambda: None)
    net._nets = {1: broken}  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(EngineError, match=words) as caught:
        runner(np.ones((1, 3, 6, 5), np.float32))
    assert type(caught.value) is kind
