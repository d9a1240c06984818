"""ncnn's two files: read as ncnn reads them, or one ModelError with words, before ncnn sees a byte."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import INT8, bilinear_x2, param, raw, tagged, write
from tests.tiny import compact_state
from upres.engines.ncnn.runner import program as ncnn_program
from upres.errors import ModelError
from upres.graph.architectures import graph_from_state_dict
from upres.weights.ncnn_file import NcnnModel, find_pair, parse_param, program, read_ncnn
from upres.weights.read import read_weights
from upres.weights.tensors import Origin

CONV = "Convolution c 1 1 in out 0=3 1=3 4=1 5=1 6=81"
GOOD = ["Input in 0 1 in", CONV]
WEIGHTS = tagged(np.arange(81) / 81) + raw(np.zeros(3))


def read(path: Path) -> NcnnModel:
    pair = find_pair(path)
    assert pair is not None
    return read_ncnn(*pair)


def test_what_our_own_engine_writes_is_read_back(tmp_path: Path) -> None:
    state = compact_state(2, depth=3)
    text, chunks = ncnn_program(graph_from_state_dict(state))
    (tmp_path / "m.param").write_text(text)
    (tmp_path / "m.bin").write_bytes(b"".join(chunk.tobytes() for chunk in chunks))
    model = read(tmp_path / "m.param")
    assert (model.input, model.output, model.in_channels) == ("input", "output", 3)
    assert model.parameters == sum(array.size for array in state.values())
    again, parts = program(model)
    assert b"".join(chunk.tobytes() for chunk in parts) == (tmp_path / "m.bin").read_bytes()
    assert [line.split()[0] for line in again.splitlines()[2:]] == [line.split()[0] for line in text.splitlines()[2:]]


def test_tables_and_odd_lengths_of_half_floats(tmp_path: Path) -> None:
    """A table of 256 values and an index of bytes, as ncnn's old quantized files have; 81 halves are padded to 164
    bytes.
    """
    table = np.linspace(-1, 1, 256)
    index = (np.arange(81) % 256).astype(np.uint8)
    data = struct.pack("<I", 7) + raw(table) + index.tobytes() + bytes(3) + raw(np.zeros(3))
    np.testing.assert_array_equal(read(write(tmp_path, GOOD, data)).weights[1][0], table.astype(np.float32)[index])
    half = tagged(np.arange(81) / 81, half=True)
    assert len(half) == 4 + 164
    found = read(write(tmp_path, GOOD, half + raw(np.ones(3)))).weights[1]
    np.testing.assert_array_equal(found[0], (np.arange(81) / 81).astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(found[1], np.ones(3))


def test_weights_without_names_are_not_read_as_a_state_dict(tmp_path: Path) -> None:
    path = bilinear_x2(tmp_path)
    for half in (path, path.with_suffix(".bin")):
        with pytest.raises(ModelError, match=r"net\.(param|bin): it is an ncnn network, whose weights have no names"):
            read_weights(half)


BAD_PARAMS = [
    (["7767517", "2147483648 2147483648", *GOOD], r"declares 2,147,483,648 layers, but 2 follow"),
    (["7767517", "-1 5", *GOOD], "the counts of its layers and blobs do not follow"),
    (["7767517"], "the counts of its layers and blobs do not follow"),
    (["7767517", "2 2", GOOD[0], "Convolution c"], "expected a layer on each line, got 'Convolution c'"),
    (
        ["7767517", "2 2", GOOD[0], "Convolution c 9 1 in out 0=3"],
        "9 inputs and 1 outputs are declared, but not all are named",
    ),
    (
        ["7767517", "2 2", GOOD[0], CONV.replace("in out", "other out")],
        "layer 'c' reads 'other', which no earlier layer writes",
    ),
    (["7767517", "2 2", GOOD[0], CONV.replace("in out", "in in")], "writes 'in', which is written already"),
    (
        ["7767517", "2 2", GOOD[0], CONV.replace("Convolution", "EvilLayer")],
        "is of the type 'EvilLayer', which upres does not run",
    ),
    (["7767517", "2 2", GOOD[0], CONV.replace("1=3", "1=0")], r"the kernel is 0; expected 1 to 4096"),
    (["7767517", "2 2", GOOD[0], CONV + " 3=0"], "the stride is 0; expected 1 to"),
    (["7767517", "2 2", GOOD[0], CONV.replace("0=3", "0=0")], "the number of outputs is 0"),
    (["7767517", "2 2", GOOD[0], CONV.replace("6=81", "6=80")], "80 weights do not fit 3 outputs"),
    (["7767517", "2 2", GOOD[0], CONV.replace("6=81", "6=99999999999")], "is not a parameter with numbers"),
    (["7767517", "2 2", GOOD[0], CONV + " 8=1"], "has int8 weights, which upres cannot run"),
    (["7767517", "2 2", GOOD[0], CONV + " 77=1"], "is not a parameter that ncnn knows"),
    (["7767517", "2 2", GOOD[0], CONV + " -23310=3,1"], "a list of 3 numbers is declared, but 1 follow"),
    (["7767517", "2 2", GOOD[0], CONV + " 9=nan"], "is not a parameter with numbers"),
    (["7767517", "2 2", GOOD[0], "PixelShuffle p 1 1 in out 0=0"], "the factor is 0; expected 1 to 64"),
    (["7767517", "2 2", GOOD[0], "Interp p 1 1 in out 0=2 1=1e6 2=2"], "the factor is 1e.06|the factor is 1000000.0"),
    (["7767517", "2 2", GOOD[0], "Pooling p 1 1 in out 0=0 1=2 2=0"], "a kernel or stride is 0"),
    (["7767517", "2 2", GOOD[0], "BinaryOp p 1 1 in out 0=0"], "has 1 inputs, which does not fit its constant"),
]


@pytest.mark.parametrize(("lines", "words"), BAD_PARAMS, ids=[words[:30] for _, words in BAD_PARAMS])
def test_an_invalid_param_is_refused(lines: list[str], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        parse_param("\n".join(lines).encode(), Origin("m.param", 100))


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ModelError, match=r"begins as an ncnn .param, but is not text"):
        parse_param(b"7767517\n\xff\xfe\x00", Origin("m.param", 10))


@pytest.mark.parametrize("end", range(0, len(WEIGHTS), 37))
def test_a_truncated_bin_is_refused(tmp_path: Path, end: int) -> None:
    with pytest.raises(
        ModelError, match=r"net.bin: layer 'c' needs [\d,]+ bytes at \d+, and the file ends at \d+: it is cut short"
    ):
        read(write(tmp_path, GOOD, WEIGHTS[:end]))


def test_a_bin_of_another_network_is_refused(tmp_path: Path) -> None:
    cases = [
        (WEIGHTS + bytes(8), "its .param uses 340 of its 348 bytes: the two files do not belong together"),
        (tagged(np.full(81, np.nan)) + raw(np.zeros(3)), "layer 'c' has weights that are not finite"),
        (struct.pack("<I", INT8) + WEIGHTS, "has int8 weights"),
    ]
    for data, words in cases:
        with pytest.raises(ModelError, match=words):
            read(write(tmp_path, GOOD, data))


def test_channels_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """ncnn does not compare them: it reads beyond the picture."""
    wide = ["Input in 0 1 in", "Convolution a 1 1 in x 0=4 1=1 5=0 6=12", "Convolution b 1 1 x out 0=3 1=1 5=0 6=24"]
    with pytest.raises(ModelError, match=r"layer 'b' \(Convolution\) takes 8 channels and is given 4"):
        read(write(tmp_path, wide, tagged(np.zeros(12)) + tagged(np.zeros(24))))
    slopes = ["Input in 0 1 in", "Convolution a 1 1 in x 0=4 1=1 5=0 6=12", "PReLU b 1 1 x out 0=400"]
    with pytest.raises(ModelError, match=r"layer 'b' \(PReLU\) is for 400 channels and is given 4"):
        read(write(tmp_path, slopes, tagged(np.zeros(12)) + raw(np.zeros(400))))


def test_inputs_and_outputs_are_one(tmp_path: Path) -> None:
    cases = [
        ([*GOOD, "Sigmoid s 1 1 in other"], r"it has 2 outputs \(out, other\)"),
        (["Input in 0 1 in", "Input b 0 1 b", CONV], "it has 2 inputs"),
    ]
    for lines, words in cases:
        with pytest.raises(ModelError, match=words):
            read(write(tmp_path, lines, WEIGHTS))


def test_a_half_alone_names_the_other(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD, tagged(np.zeros(81), half=True))
    path.with_suffix(".bin").rename(tmp_path / "other.bin")
    with pytest.raises(
        ModelError, match=r"an ncnn .param file, which lists layers and holds no weights. Put net.bin beside it"
    ):
        find_pair(path)
    with pytest.raises(
        ModelError, match=r"an ncnn .bin file \(float16 weights without names\). Put other.param beside it"
    ):
        find_pair(tmp_path / "other.bin")
    binary = tmp_path / "b.param"
    binary.write_bytes(struct.pack("<ii", 7767517, 2))
    with pytest.raises(ModelError, match=r"ncnn's binary .param. Give the text .param"):
        find_pair(binary)


def test_other_files_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "a.param").write_text("just words")
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04" + bytes(100))
    assert find_pair(tmp_path / "a.param") is None and find_pair(tmp_path / "pytorch_model.bin") is None
    with pytest.raises(ModelError, match=r"a.param: its format is unknown"):
        read_weights(tmp_path / "a.param")


def test_every_cut_and_every_flipped_byte_of_a_param_is_read_or_refused(tmp_path: Path) -> None:
    path = bilinear_x2(tmp_path)
    text = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(text), 150):
        for broken in (text[:at], text[:at] + bytes([text[at] ^ (1 << int(rng.integers(8)))]) + text[at + 1 :]):
            path.write_bytes(broken)
            try:
                pair = find_pair(path)
                if pair is not None:
                    read_ncnn(*pair)
            except ModelError as error:
                assert "net.param" in str(error) or "net.bin" in str(error)


def test_a_param_as_text_of_our_own() -> None:
    assert len(parse_param(param(GOOD).encode(), Origin("m.param", 10))) == 2
    assert (
        parse_param(("\ufeff" + param(GOOD).replace("\n", "\r\n")).encode(), Origin("m.param", 10))[1].integer(6) == 81
    )
