"""A graph from an ONNX file that upres exported: the inverse of `upres.engines.onnx.program`.

Only such files say in which range their values are, so only they become graphs; any other ONNX file is measured and runs as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.onnx.file import parse, read_bytes
from upres.errors import EngineError, ModelError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale, divides_size

try:
    import onnx as _onnx
except ImportError as error:
    raise EngineError("ONNX files need the onnx package, which is not installed; remedy: pip install 'upres[onnx]'") from error

_ONNX: Any = _onnx
_PRODUCER = "upres"
_RANGE = "0 1"  # of the values, as `upres.export` writes it into the file


def graph_of(path: Path) -> Graph | None:
    """The network of an ONNX file that upres exported, weights as float32; None for a file of another maker.

    Raises ModelError for a file that is damaged or hostile (see `upres.engines.onnx.file`).
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
        return Graph.of(nodes, output=output, in_channels=channels[0], family=facts.get("family", "onnx"), input=inputs[0].name)
    except (_UnknownError, ModelError, LookupError, ValueError, TypeError, ArithmeticError):  # changed by another program
        return None


class _UnknownError(Exception):
    """An operator, or settings of one, that upres does not write."""


class _Reader:
    """The constants of an ONNX graph, and which values are others under a new name."""

    def __init__(self, graph: Any) -> None:
        self._constants: dict[str, Any] = {tensor.name: _ONNX.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._alias: dict[str, str] = {}

    def source(self, name: str) -> str:
        """The value that `name` stands for."""
        return self._alias.get(name, name)

    def _array(self, name: str) -> Array:
        array = np.ascontiguousarray(self._constants[name], np.float32)
        if not np.isfinite(array).all():
            raise _UnknownError(name)
        return array

    def nodes(self, node: Any) -> Iterator[Node]:
        """The node that an operator is; none for a change of type, which is not the network's."""
        output, sources = node.output[0], [self.source(name) for name in node.input]
        settings: dict[str, Any] = {attribute.name: _ONNX.helper.get_attribute_value(attribute) for attribute in node.attribute}
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
        # A convolution that copies each pixel of a square into a channel of its own.
        copies = np.tile(np.eye(stride * stride, dtype=np.float32).reshape(-1, 1, stride, stride), (settings["group"], 1, 1, 1))
        if bias is not None or padding or not np.array_equal(weight, copies):
            raise _UnknownError("Conv")
        return Resample("pixel_unshuffle", output, sources[0], stride)
