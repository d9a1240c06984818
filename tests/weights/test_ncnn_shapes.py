"""Sizes computed before a run are those of ncnn, and operands of different sizes are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import halving, param, raw, tagged, write
from upres.engines.ncnn.opaque import NcnnProgram
from upres.errors import EngineError
from upres.weights.ncnn_file import parse_param
from upres.weights.ncnn_shapes import MisfitError, Shape, check_sizes
from upres.weights.tensors import Origin


def sizes(lines: list[str], shape: Shape = (3, 20, 30)) -> dict[str, Shape | None]:
    layers = parse_param(param(lines).encode(), Origin("net.param", 1))
    return check_sizes(layers, "in", shape)


def test_operands_of_different_sizes_are_found_before_the_run(tmp_path: Path) -> None:
    program = NcnnProgram(halving(tmp_path), threads=1)
    even = np.random.default_rng(0).random((1, 3, 12, 16), dtype=np.float32)
    assert program(even).shape == (1, 3, 12, 16)
    words = "15 x 12 pixels do not fit this network: layer 'add' .BinaryOp. is given 15 x 12 x 3 and 14 x 12 x 3 values"
    with pytest.raises(EngineError, match=words):
        program(even[:, :, :, :15].copy())
    program.close()


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        ("Convolution c 1 1 in out 0=3 1=3 3=2 4=1 5=0 6=81", 81),
        ("Convolution c 1 1 in out 0=3 1=3 11=1 2=2 4=-233 5=0 6=27", 27),
        ("Convolution c 1 1 in out 0=3 1=3 4=1 14=2 15=0 16=3 5=0 6=81", 81),
        ("Deconvolution c 1 1 in out 0=3 1=4 3=2 4=1 18=1 5=0 6=144", 144),
        ("Pooling c 1 1 in out 0=0 1=3 2=2", 0),
        ("Pooling c 1 1 in out 0=1 1=3 2=2 3=1 5=1", 0),
        ("Crop c 1 1 in out -23309=2,4,2 -23310=2,-4,-233 -23311=2,-2,-1", 0),
        ("Crop c 1 1 in out 0=2 1=3 3=5 4=6 5=3", 0),
        ("Interp c 1 1 in out 0=2 1=1.500000e+00 2=2.000000e+00", 0),
        ("Padding c 1 1 in out 0=1 1=2 2=3 3=4", 0),
        ("Reorg c 1 1 in out 0=2", 0),
        ("Sigmoid c 1 1 in out", 0),
    ],
)
def test_sizes_are_those_of_ncnn(tmp_path: Path, layer: str, weights: int) -> None:
    lines = ["Input in 0 1 in", layer]
    program = NcnnProgram(write(tmp_path, lines, tagged(np.zeros(weights)) if weights else b""), threads=1)
    for height, width in ((20, 30), (21, 31), (24, 33)):
        expected = program(np.ones((1, 3, height, width), np.float32)).shape[1:]
        assert sizes(lines, (3, height, width))["out"] == expected
    program.close()


def test_vectors_are_spread_and_factors_must_be_as_many(tmp_path: Path) -> None:
    """As the attention of waifu2x has it: a Scale whose factors are computed."""
    lines = [
        "Input in 0 1 in",
        "Split s 1 2 in a b",
        "Pooling p 1 1 a m 0=1 4=1",
        "InnerProduct i 1 1 m f 0=3 1=1 2=9",
        "Scale x 2 1 b f out 0=-233",
    ]
    assert sizes(lines)["out"] == (3, 20, 30)
    program = NcnnProgram(write(tmp_path, lines, tagged(np.zeros(9)) + raw(np.array([1.0, 2.0, 3.0]))), threads=1)
    lr = np.random.default_rng(0).random((1, 3, 8, 9), dtype=np.float32)
    np.testing.assert_allclose(program(lr), lr * np.array([1, 2, 3], np.float32)[None, :, None, None], atol=1e-6)
    program.close()
    wrong = [line.replace("0=3 1=1 2=9", "0=2 1=1 2=6") for line in lines]
    with pytest.raises(MisfitError, match=r"layer 'x' \(Scale\) is given 30 x 20 x 3 and 1 x 1 x 2 values"):
        sizes(wrong)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["Split s 1 2 in a b", "Reorg p 1 1 a c 0=2", "Concat x 2 1 b c out"], "Concat. is given 30 x 20"),
        (["Split s 1 2 in a b", "Crop x 2 1 a b out 0=4 1=4"], "Crop. would cut 30 x 20 x 3 out of 30 x 20 x 3"),
        (["Crop x 1 1 in out 0=28 3=8 4=8 5=3"], "Crop. would cut 8 x 8 x 3 out of 30 x 20 x 3"),
        (["Crop x 1 1 in out -23309=1,15 -23310=1,-15 -23311=1,1"], "Crop. would give 30 x -10 values"),
    ],
)
def test_what_would_read_beyond_its_memory_is_found(lines: list[str], words: str) -> None:
    with pytest.raises(MisfitError, match=rf"layer 'x' .{words}"):
        sizes(["Input in 0 1 in", *lines])


def test_layers_of_unknown_sizes_tell_nothing() -> None:
    lines = ["Input in 0 1 in", "Split s 1 2 in a b", "Permute p 1 1 a c 0=1", "BinaryOp x 2 1 b c out 0=0"]
    assert sizes(lines)["out"] is None
