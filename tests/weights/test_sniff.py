"""What is no model file that we read is named for what it is, with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from upres.errors import ModelError
from upres.weights.read import read_weights
from upres.weights.sniff import START_BYTES, is_onnx


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("m.pth", b"", "it is empty. Download it again"),
        ("m.pth", bytes(5000), "5,000 zero bytes: a download that never finished"),
        ("m.pth", b"\n<!DOCTYPE html>\n<html><head>", "a web page: you saved the page.*download button"),
        ("m.pth", b"<HTML><body>404", "a web page"),
        ("m.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a Git LFS pointer.*git lfs pull"),
        (
            "model.json",
            b'{"format": "graph-model", "modelTopology": {}}',
            "a TensorFlow.js model, whose weights are in",
        ),
        ("cnn.json", b'{"name": "anime4k", "layers": {"conv2d_tf": {"weights": [0.1]}}}', "a model of websr"),
        ("m.pth", b'{"error": "not found"}', "JSON text, perhaps the error message"),
        ("m.param", b"7767517\n75 75\nInput data 0 1", "an ncnn .param file, which lists layers and holds no weights"),
        ("m.bin", b"\x47\x6b\x30\x01" + bytes(range(200)), r"an ncnn .bin file \(float16"),
        ("m.bin", b"\0\0\0\0" + bytes(range(200)), "an ncnn .bin file"),
        ("m.onnx", b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xff\x01", "an ONNX file, which holds a program"),
        ("m.pth", bytes(257) + b"ustar" + bytes(300), "a tar archive, such as torch wrote before version 0.1.11"),
        ("m.pth", b"\x80\x04\x95\x0a\0\0\0\0\0\0\0]\x94.", "a Python pickle, but not one that torch.save wrote"),
        ("m.pth", b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture"),
        ("m.pth", b"\x1f\x8b\x08" + bytes(50), "a gzip archive. Unpack it"),
        ("m.onnx", b"", "it is empty. Download it again$"),
        ("m.onnx", b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture. Name the model file"),
        (
            "m.onnx",
            b"a text that was renamed, and no more than that",
            r"unknown \(.*\); expected .safetensors, .pth, .onnx, or ncnn's",
        ),
        ("m.pth", b"hello, this is no model at all", r"format is unknown \(it begins with the bytes 68 65 6c 6c 6f"),
        ("m.pth", b"PK\x03\x04" + bytes(100), "its directory is missing or damaged"),
    ],
)
def test_what_is_no_model_file_is_named_with_a_remedy(name: str, data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=words) as caught:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and caught.value.exit_code == 4


def test_a_real_onnx_file_is_recognized(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    for maker in ("", "pytorch"):
        (tmp_path / "m.pth").write_bytes(onnx.helper.make_model(graph, producer_name=maker).SerializeToString())
        with pytest.raises(ModelError, match="an ONNX file"):
            read_weights(tmp_path / "m.pth")


def varint_field(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def text_field(number: int, content: bytes) -> bytes:
    length = len(content)
    return (
        bytes([number << 3 | 2])
        + (bytes([length]) if length < 128 else bytes([length & 0x7F | 0x80, length >> 7]))
        + content
    )


VERSION, MAKER, GRAPH, OPSET = (
    varint_field(1, 8),
    text_field(2, b"pytorch"),
    text_field(7, b"\x0a\x00" * 300),
    text_field(8, b"\x10\x11"),
)


@pytest.mark.parametrize(
    "data",
    [
        VERSION + MAKER + GRAPH + OPSET,
        VERSION + GRAPH + OPSET,
        VERSION + OPSET + GRAPH,
        OPSET + GRAPH + VERSION,
        MAKER + OPSET + GRAPH,
        GRAPH,
        (VERSION + MAKER + GRAPH)[:100],  # cut short
        VERSION + text_field(6, b"a long description " * 50) + GRAPH,
    ],
)
def test_onnx_is_known_by_its_fields_in_any_order(data: bytes) -> None:
    assert is_onnx(data[:START_BYTES], len(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        VERSION,
        varint_field(1, 100) + MAKER,  # no version of ONNX
        text_field(1, b"name") + GRAPH,  # another message
        OPSET + MAKER,  # no graph
        GRAPH[:100],  # neither a version nor a whole graph
        text_field(7, b"\x0a\x00" * 20) + b"\xff\xff" + bytes(300),
        b": a text, in which the first byte is the tag of a graph, and the second its length",
        bytes(300),
    ],
)
def test_other_content_is_not_onnx(data: bytes) -> None:
    assert not is_onnx(data[:START_BYTES], len(data))


def test_half_of_a_real_ncnn_model_is_recognized(assets: Path, tmp_path: Path) -> None:
    for suffix in (".bin", ".param"):
        alone = tmp_path / f"m{suffix}"
        alone.write_bytes((assets / "weights" / f"RealESRGAN_General_x4_v3{suffix}").read_bytes())
        with pytest.raises(ModelError, match=f"an ncnn {suffix} file"):
            read_weights(alone)
        alone.unlink()
