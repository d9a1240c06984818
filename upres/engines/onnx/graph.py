"""Convert an ONNX file that upres exported back to a graph: the inverse of `upres.engines.onnx.program`.

Other ONNX files do not state their value range, so these are measured and run as is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.onnx.file import parse, read_bytes
from upres.errors import ModelError
from upres.graph.graph import Graph
from upres.graph.nodes import (
    Activate,
    Activation,
    Add,
    Array,
    Concat,
    Conv,
    MaxPool,
    Mul,
    Node,
    Resample,
    Scale,
    divides_size,
)
from upres.system.packages import import_failure

try:
    import onnx as _onnx
except ImportError as error:
    raise import_failure("an ONNX file", "onnx", "onnx", error) from error

_ONNX: Any = _onnx
_PRODUCER = "upres"
_RANGE = "0 1"  # the value range, as `upres.export` writes it into the file


def graph_of(path: Path) -> Graph | None:
    """The graph of an ONNX file that upres exported, with float32 weights; None for other files.

    Raises ModelError for a damaged or unsafe file (see `upres.engines.onnx.file`).
    """
    model = parse(read_bytes(path), path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    inputs, outputs = model.graph.input, model.graph.output
    if model.producer_name != _PRODUCER or facts.get("value_range") != _RANGE or len(inputs) != 1 or len(outputs) != 1:
        return None
    channels = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim][1:2]
    try:
        reader = _Reader(model.graph)
        nodes = [made for node in model.graph.node for made in reader.nodes(node)]
        output = reader.source(outputs[0].name)
        family = facts.get("family", "onnx")
        return Graph.of(nodes, output=output, in_channels=channels[0], family=family, input=inputs[0].name)
    except (_UnknownError, ModelError, LookupError, ValueError, TypeError, ArithmeticError):
        return None  # another program has changed the file


class _UnknownError(Exception):
    """An operator or attribute that upres does not write."""


class _Reader:
    """Converts the nodes of an ONNX graph; holds its constants and the aliases that casts create."""

    def __init__(self, graph: Any) -> None:
        to_array = _ONNX.numpy_helper.to_array
        self._constants: dict[str, Any] = {tensor.name: to_array(tensor) for tensor in graph.initializer}
        self._alias: dict[str, str] = {}

    def source(self, name: str) -> str:
        """The name of the value before casts."""
        return self._alias.get(name, name)

    def _array(self, name: str) -> Array:
        array = np.ascontiguousarray(self._constants[name], np.float32)
        if not np.isfinite(array).all():
            raise _UnknownError(name)
        return array

    def nodes(self, node: Any) -> Iterator[Node]:
        """The graph node for an ONNX node; none for a cast."""
        output, sources = node.output[0], [self.source(name) for name in node.input]
        value_of = _ONNX.helper.get_attribute_value
        settings: dict[str, Any] = {attribute.name: value_of(attribute) for attribute in node.attribute}
        first = sources[0]
        match node.op_type:
            case "Cast":
                self._alias[output] = first
            case "Conv":
                yield self._conv(output, sources, settings)
            case "Relu":
                yield Activate(output, first, Activation("relu"))
            case "Sigmoid":
                yield Activate(output, first, Activation("sigmoid"))
            case "LeakyRelu":
                yield Activate(output, first, Activation("leaky_relu", slope=float(settings["alpha"])))
            case "PRelu":
                yield Activate(output, first, Activation("prelu", slopes=self._array(sources[1]).reshape(-1)))
            case "Add":
                yield Add(output, (first, sources[1]), (1.0, 1.0))
            case "Mul" if sources[1] in self._constants:
                yield Scale(output, first, float(self._array(sources[1]).item()))
            case "Mul":
                yield Mul(output, (first, sources[1]))
            case "Concat" if settings["axis"] == 1:
                yield Concat(output, tuple(sources))
            case "MaxPool" if settings.keys() == {"kernel_shape", "strides"}:
                kernel, stride = settings["kernel_shape"][0], settings["strides"][0]
                if not divides_size(kernel, stride, 0):
                    raise _UnknownError(node.op_type)
                yield MaxPool(output, first, kernel, stride)
            case "Resize" if (settings["mode"], settings["nearest_mode"]) == (b"nearest", b"floor"):
                yield Resample("upsample_nearest", output, first, int(self._array(sources[2])[2]))
            case "DepthToSpace" if settings["mode"] == b"CRD":
                yield Resample("pixel_shuffle", output, first, settings["blocksize"])
            case _:
                raise _UnknownError(node.op_type)

    def _conv(self, output: str, sources: list[str], settings: dict[str, Any]) -> Node:
        weight = self._array(sources[1])
        bias = self._array(sources[2]) if len(sources) > 2 else None
        stride, padding = settings["strides"][0], settings.get("pads", [0])[0]
        if settings.keys() - {"kernel_shape", "strides", "pads", "group"} or len(set(settings.get("pads", [0]))) != 1:
            raise _UnknownError("Conv")
        if not divides_size(weight.shape[2], stride, padding):
            raise _UnknownError("Conv")
        if settings.get("group", 1) == 1:
            return Conv(output, sources[0], weight, bias, stride, padding)
        # A grouped convolution is a pixel unshuffle: one-hot kernels.
        one_hot = np.eye(stride * stride, dtype=np.float32).reshape(-1, 1, stride, stride)
        if bias is not None or padding or not np.array_equal(weight, np.tile(one_hot, (settings["group"], 1, 1, 1))):
            raise _UnknownError("Conv")
        return Resample("pixel_unshuffle", output, sources[0], stride)
