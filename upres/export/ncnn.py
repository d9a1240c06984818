"""Export a graph to ncnn's `.param` and `.bin`, with the blob names `data` and `output` that Upscayl expects.

Layers and weights are those of our own ncnn engine (`upres.engines.ncnn.runner.program`), with plain names and
optionally float16 weights. Layout of a `.bin`: ncnn's wiki, "param and model file structure". The weights of a
convolution follow a tag of four bytes (0: float32, 0x01306B47: float16, padded to a multiple of four); biases and
slopes are always float32.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from upres.errors import EngineError
from upres.export.onnx import Opened, with_plain_names
from upres.graph.graph import Graph
from upres.graph.nodes import Array, Conv
from upres.system.files import write_atomic
from upres.weights.ncnn_file import parse_param, read_ncnn
from upres.weights.ncnn_layers import weights_of
from upres.weights.tensors import Origin

INPUT, OUTPUT = "data", "output"
_HALF_TAG, _FLOAT_TAG = struct.pack("<I", 0x01306B47), struct.pack("<I", 0)
_LARGEST_HALF = 65504.0
_SCALES_IN_NAMES = (2, 3, 4)
# Write a + b as BinaryOp, as converters do, instead of our Eltwise: readers that identify networks by their layers
# expect it.
_PLAIN_SUM = re.compile(r"(?m)^Eltwise( \S+ 2 1 \S+ \S+ \S+) 0=1$")


def write_ncnn(graph: Graph, param: Path, weights: Path, *, half: bool = False) -> None:
    """Write `graph` to two files. Raises EngineError, OutputError.

    graph: The network.
    param, weights: The files.
    half: Store the weights of convolutions as float16.
    """
    text, data = ncnn_files(graph, half=half)
    write_atomic(param, text)
    write_atomic(weights, data)


def ncnn_files(graph: Graph, *, half: bool = False) -> tuple[bytes, bytes]:
    """The contents of `.param` and `.bin`. Raises EngineError if a weight exceeds float16."""
    from upres.engines.ncnn.runner import program  # loads ncnn

    simple = graph.simplify(keep_weights=half and _is_half(graph))
    text, chunks = program(with_plain_names(simple, INPUT, OUTPUT))
    text = _PLAIN_SUM.sub(r"BinaryOp\1 0=0", text)
    values = np.concatenate([np.zeros(0, np.float32), *(chunk.reshape(-1) for chunk in chunks)])
    parts: list[bytes] = []
    at = 0
    for layer in parse_param(text.encode(), Origin("the program", len(text))):
        for weights in weights_of(layer):
            if weights.tagged:
                at += 1  # the tag in the engine's own program: float32
                parts.append(_HALF_TAG if half else _FLOAT_TAG)
            numbers = values[at : at + weights.count]
            at += weights.count
            parts.append(_half(numbers) if half and weights.tagged else numbers.astype("<f4").tobytes())
    assert at == values.size
    return text.encode(), b"".join(parts)


def open_ncnn(param: Path, weights: Path, threads: int) -> Iterator[tuple[str, Callable[[], Opened] | None]]:
    """(package, function that opens the files): our own strict reader, then ncnn by file and blob name, as other
    programs.
    """

    def pair() -> Opened:
        from upres.engines.ncnn.opaque import NcnnPair

        read_ncnn(param, weights)
        return NcnnPair(param, weights, (INPUT, OUTPUT), threads=threads)

    yield "ncnn", pair


def _is_half(graph: Graph) -> bool:
    """Whether all weights of convolutions are numbers of half precision, which folding would change."""
    convs = (node for node in graph.nodes if isinstance(node, Conv))
    with np.errstate(over="ignore"):
        return all(np.array_equal(conv.weight, conv.weight.astype(np.float16)) for conv in convs)


def _half(numbers: Array) -> bytes:
    if np.abs(numbers).max(initial=0.0) > _LARGEST_HALF:
        raise EngineError(
            f"a weight is {np.abs(numbers).max():g}, above the float16 maximum of {_LARGEST_HALF:g}; "
            "export without `half`"
        )
    data = numbers.astype("<f2").tobytes()
    return data + b"\0" * (-len(data) % 4)


def scale_in_name(name: str) -> int:
    """The scale that Upscayl reads from a model name (its getModelScale): 2 for x2 or 2x, 3 for x3 or 3x, else 4."""
    lower = name.lower()
    return next((scale for scale in (2, 3) if f"x{scale}" in lower or f"{scale}x" in lower), 4)


def upscayl_name(name: str, scale: int) -> str:
    """`name`, with `-x2` or the like appended if that makes Upscayl read the right scale."""
    spoken = f"x{scale}" in name.lower() or f"{scale}x" in name.lower()
    longer = f"{name}-x{scale}"
    return name if spoken or scale_in_name(longer) != scale else longer


def upscayl_notes(name: str, graph: Graph) -> tuple[str, ...]:
    """Notes on what will not work in Upscayl."""
    notes: list[str] = []
    if graph.scale not in _SCALES_IN_NAMES:
        notes.append(
            f"Upscayl supports scales 2, 3 and 4; it will treat this network of scale {graph.scale} "
            f"as {scale_in_name(name)}"
        )
    elif scale_in_name(name) != graph.scale:
        notes.append(
            f"Upscayl reads scale {scale_in_name(name)} from the name {name}, but it is {graph.scale}; "
            "choose another name"
        )
    if graph.in_channels != 3 or graph.out_channels != 3:
        notes.append(
            f"Upscayl needs 3 input and output channels; this network has {graph.in_channels} and {graph.out_channels}"
        )
    if graph.alignment > 1:
        notes.append(
            f"this network needs sides that are multiples of {graph.alignment}; "
            "Upscayl's tiles at the right and bottom are not always"
        )
    return tuple(notes)
