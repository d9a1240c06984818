"""The two files as text and bytes, and what Upscayl reads from a name."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from tests.oracles.networks import RRDBNet, SRVGGNetCompact, randomized, state_of
from upres.export.ncnn import ncnn_files, scale_in_name, upscayl_name, upscayl_notes
from upres.graph.architectures import graph_from_state_dict
from upres.graph.nodes import Conv

COMPACT = graph_from_state_dict(state_of(randomized(SRVGGNetCompact(width=5, convs=1, scale=2), 1)))


def test_text_is_as_converters_write_it() -> None:
    text, _ = ncnn_files(COMPACT)
    lines = text.decode().splitlines()
    assert lines[0] == "7767517"
    layers = [line.split() for line in lines[2:]]
    blobs = {name for words in layers for name in words[4 : 4 + int(words[2]) + int(words[3])]}
    assert [int(count) for count in lines[1].split()] == [len(layers), len(blobs)]
    assert [words[0] for words in layers] == [
        *(
            "Input",
            "Split",
            "Convolution",
            "PReLU",
            "Convolution",
            "PReLU",
            "Convolution",
            "PixelShuffle",
            "Interp",
            "BinaryOp",
        )
    ]
    assert layers[0][4] == "data" and layers[-1][6] == "output" and layers[-1][7] == "0=0"
    reads = [name for words in layers for name in words[4 : 4 + int(words[2])]]
    assert len(set(reads)) == len(reads)  # ncnn frees a value after its first reader: every other needs a Split
    assert all(" " not in word and len(word) < 256 for words in layers for word in words)


@pytest.mark.parametrize("half", [False, True])
def test_bytes_are_tagged_and_padded(half: bool) -> None:
    """Read by hand: 135, 225 and 540 weights, of which two are odd numbers of two bytes."""
    _, data = ncnn_files(COMPACT, half=half)
    at = 0
    for node_count, (kernel, bias, slopes) in enumerate(((135, 5, 5), (225, 5, 5), (540, 12, 0))):
        (tag,) = struct.unpack_from("<I", data, at)
        assert tag == (0x01306B47 if half else 0)
        found = np.frombuffer(data, "<f2" if half else "<f4", kernel, at + 4)
        conv = [node for node in COMPACT.nodes if hasattr(node, "weight")][node_count]
        np.testing.assert_allclose(found, conv.weight.ravel(), rtol=1e-3 if half else 0, atol=1e-6 if half else 0)
        at += 4 + -(-kernel * (2 if half else 4) // 4) * 4
        np.testing.assert_array_equal(np.frombuffer(data, "<f4", bias, at), conv.bias)
        at += 4 * (bias + slopes)
    assert at == len(data)


def test_upscayl_reads_the_scale_from_the_name() -> None:
    """Its getModelScale: x2 or 2x anywhere is 2, else x3 or 3x is 3, else 4."""
    assert [scale_in_name(name) for name in ("RealESRGAN_x2plus", "4x-Remacri", "2xNew", "m-x3", "4x2000", "m")] == [
        2,
        4,
        2,
        3,
        2,
        4,
    ]
    assert upscayl_name("compact-x4", 4) == "compact-x4"
    assert upscayl_name("new", 4) == "new-x4"
    assert upscayl_name("new", 2) == "new-x2"
    assert upscayl_name("new_4x", 2) == "new_4x-x2"  # 2 wins
    assert upscayl_name("new", 8) == "new"
    assert upscayl_notes("new-x2", COMPACT) == ()
    assert upscayl_notes("new-x4", COMPACT) == (
        "Upscayl reads scale 4 from the name new-x4, but it is 2; choose another name",
    )


def test_what_upscayl_cannot_do_is_told() -> None:
    def notes(**shape: int) -> str:
        return " ".join(
            upscayl_notes("m-x2", graph_from_state_dict(state_of(RRDBNet(width=4, growth=4, blocks=1, **shape))))
        )

    assert "sides that are multiples of 2; Upscayl's tiles" in notes(unshuffle=2)
    assert "supports scales 2, 3 and 4; it will treat this network of scale 1 as 2" in notes(ups=0)
    assert "needs 3 input and output channels; this network has 1 and 1" in notes(colors=1, ups=1)


def test_weights_of_half_precision_stay_to_the_bit() -> None:
    """RRDB's factor 0.2 stays outside the weights then; it would change nearly all of them."""
    graph = graph_from_state_dict(state_of(randomized(RRDBNet(width=4, blocks=1, growth=2), 1)))
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    _, other = ncnn_files(graph, half=True)
    assert not all(conv.weight.astype("<f2").tobytes() in other for conv in convs)  # they were rounded after folding
    halves = tuple(
        replace(node, weight=node.weight.astype(np.float16).astype(np.float32)) if isinstance(node, Conv) else node
        for node in graph.nodes
    )
    text, data = ncnn_files(replace(graph, nodes=halves), half=True)
    assert all(conv.weight.astype("<f2").tobytes() in data for conv in convs)
    assert text.count(b"Convolution") == len(convs)
