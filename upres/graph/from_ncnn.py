"""An ncnn network as a graph where every layer has a node, for exact tiles, every engine and export.

Others are run as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from upres.errors import ModelError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Concat, Conv, MaxPool, Mul, Node, Resample, Scale, divides_size
from upres.weights.ncnn_file import Array, NcnnModel
from upres.weights.ncnn_layers import NcnnLayer

FAMILY = "ncnn"
_FUSED = {0: None, 1: "relu", 2: "leaky_relu", 4: "sigmoid"}


def graph_of(model: NcnnModel) -> Graph | None:
    """The same function as a graph; None where a layer has no node, or is used in a way that no node has."""
    alias = {model.input: model.input}
    nodes: list[Node] = []
    for layer, arrays in zip(model.layers, model.weights, strict=True):
        if layer.kind == "Input":
            continue
        sources = [alias[name] for name in layer.inputs]
        if layer.kind in ("Split", "Noop") or (layer.kind == "Dropout" and layer.real(0, 1.0) == 1.0):
            alias |= dict.fromkeys(layer.outputs, sources[0])
            continue
        made = list(_nodes(layer, sources, arrays))
        if not made:
            return None
        nodes += made
        alias[layer.outputs[0]] = made[-1].output
    try:
        return Graph.of(
            nodes, output=alias[model.output], in_channels=model.in_channels or 3, family=FAMILY, input=model.input
        )
    except ModelError:  # sizes that ncnn spreads and a node does not, such as a picture times one number a channel
        return None


def _nodes(layer: NcnnLayer, sources: list[str], arrays: tuple[Array, ...]) -> Iterator[Node]:
    """The nodes of a layer, the last writing its output; none where there are no such nodes."""
    output, first = layer.outputs[0], sources[0] if sources else ""
    match layer.kind:
        case "Convolution":
            yield from _conv(layer, first, output, arrays)
        case "PReLU":
            yield Activate(output, first, Activation("prelu", slopes=arrays[0]))
        case "ReLU":
            slope = layer.real(0)
            yield Activate(output, first, Activation("leaky_relu", slope=slope) if slope else Activation("relu"))
        case "Sigmoid":
            yield Activate(output, first, Activation("sigmoid"))
        case "Swish":
            yield Activate(output, first, Activation("silu"))
        case "BinaryOp":
            yield from _binary(layer, sources, output)
        case "Eltwise":
            yield from _eltwise(layer, sources, output)
        case "Concat" if layer.integer(0) == 0 and len(sources) > 1:
            yield Concat(output, tuple(sources))
        case "PixelShuffle" if layer.integer(1) == 0:
            yield Resample("pixel_shuffle", output, first, layer.integer(0, 1))
        case "Reorg" if layer.integer(1) == 0:
            yield Resample("pixel_unshuffle", output, first, layer.integer(0, 1))
        case "Interp" if layer.is_nearest(int(layer.real(1, 1.0))):
            yield Resample("upsample_nearest", output, first, int(layer.real(1, 1.0)))
        case "Pooling" if _is_plain_pool(layer):
            yield MaxPool(output, first, layer.integer(1), layer.integer(2, 1))
        case _:
            return


def _conv(layer: NcnnLayer, source: str, output: str, arrays: tuple[Array, ...]) -> Iterator[Node]:
    (height, width), stride, padding = layer.kernel, layer.integer(3, 1), layer.integer(4)
    one_stride = NcnnLayer(layer.kind, layer.name, layer.inputs, layer.outputs, {**layer.params, 3: 1, 13: 1})
    if height != width or padding < 0 or not one_stride.is_plain_conv(padding) or layer.integer(13, stride) != stride:
        return
    kind = layer.integer(9)
    if kind not in _FUSED or not divides_size(width, stride, padding):
        return
    weight = arrays[0].reshape(layer.integer(0), -1, height, width)
    fused = _FUSED[kind]
    activation = None
    if fused == "leaky_relu":
        activation = Activation("leaky_relu", slope=float(next(iter(layer.numbers(10)), 0.0)))
    elif fused is not None:
        activation = Activation(fused)  # pyright: ignore[reportArgumentType]  # of the dict above
    yield Conv(output, source, weight, arrays[1] if len(arrays) > 1 else None, stride, padding, activation)


def _binary(layer: NcnnLayer, sources: list[str], output: str) -> Iterator[Node]:
    kind, constant = layer.integer(0), layer.real(2)
    if layer.integer(1):
        if kind in (2, 3) and constant:
            yield Scale(output, sources[0], constant if kind == 2 else float(np.float32(1.0) / np.float32(constant)))
    elif kind in (0, 1):
        yield Add(output, (sources[0], sources[1]), (1.0, 1.0 if kind == 0 else -1.0))
    elif kind == 2:
        yield Mul(output, (sources[0], sources[1]))


def _eltwise(layer: NcnnLayer, sources: list[str], output: str) -> Iterator[Node]:
    if layer.integer(0) == 0 and len(sources) == 2:
        yield Mul(output, (sources[0], sources[1]))
    elif layer.integer(0) == 1:
        coefficients = [float(value) for value in layer.numbers(1)] or [1.0] * len(sources)
        if len(coefficients) == len(sources):
            yield Add(output, tuple(sources), tuple(coefficients))


def _is_plain_pool(layer: NcnnLayer) -> bool:
    square = layer.integer(11, layer.integer(1)) == layer.integer(1) and layer.integer(
        12, layer.integer(2, 1)
    ) == layer.integer(2, 1)
    flat = not any(layer.integer(key) for key in (0, 3, 4, 7, 13, 14, 15))
    # Mode 1 leaves out what is beyond the border; mode 0 takes it in, which is the same only where nothing is.
    return square and flat and layer.integer(5) == 1 and divides_size(layer.integer(1), layer.integer(2, 1), 0)
