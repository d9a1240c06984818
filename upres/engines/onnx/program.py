"""Convert a graph to ONNX (opset 17, dynamic height and width), without torch and without the onnx package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from upres.engines.onnx import wire
from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.nodes import Activate, Activation, Add, Array, Concat, Conv, MaxPool, Mul, Node, Resample, Scale, Shape

OPSET = 17
_IR_VERSION = 8  # of the file format; the one of opset 17, since older runtimes reject newer ones
_LARGEST_HALF = 65504.0


def onnx_bytes(graph: Graph, *, half: bool = False, facts: Mapping[str, str] | None = None) -> bytes:
    """Serialize a graph as ONNX with input "lr" (1, c, height, width) and output "sr", both float32 in [0, 1].

    Args:
        graph: The network.
        half: Store weights and activations in float16; input and output remain float32.
        facts: The model's metadata_props.

    Raises:
        EngineError: A weight is too large for float16.
    """
    writer = _Writer(graph.shapes, half)
    names = {graph.input: "lr.half" if half else "lr", graph.output: "sr.half" if half else "sr"}
    if half:
        writer.cast("lr", "lr.half", wire.FLOAT16)
    for node in graph.nodes:
        writer.node(node, [names.get(name, name) for name in node.inputs], names.get(node.output, node.output))
    if half:
        writer.cast("sr.half", "sr", wire.FLOAT)
    return wire.model(
        graph.family,
        writer.nodes,
        writer.constants,
        [wire.value("lr", [1, graph.in_channels, "height", "width"])],
        [wire.value("sr", [1, graph.out_channels, "sr_height", "sr_width"])],
        format=_IR_VERSION,
        opset=OPSET,
        producer="upres",
        facts=facts or {},
    )


def with_every_value(data: bytes) -> tuple[bytes, list[str]]:
    """The model in `data` with every activation as an output, and the names of its outputs.

    Raises EngineError without the onnx package.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(
            "this needs the onnx package, which is not installed; remedy: pip install 'upres[onnx]'"
        ) from error
    package: Any = onnx  # its stubs are partial
    model = package.load_from_string(data)
    names = [name for node in model.graph.node for name in node.output]
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(package.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    return model.SerializeToString(), names


class _Writer:
    """Collects ONNX nodes and constants."""

    def __init__(self, shapes: dict[str, Shape], half: bool) -> None:
        self._shapes = shapes
        self._type = np.float16 if half else np.float32
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def _constant(self, name: str, array: Array) -> str:
        if self._type is np.float16 and np.any(np.isfinite(array) & (np.abs(array) > _LARGEST_HALF)):
            raise EngineError(
                f"{name} has magnitude {np.abs(array).max():g}, and float16 ends at {_LARGEST_HALF:g}; use float32"
            )
        return self._given(name, np.asarray(array, self._type))

    def _given(self, name: str, array: np.ndarray[Any, Any]) -> str:
        self.constants.append(wire.tensor(name, array))
        return name

    def cast(self, source: str, output: str, kind: int) -> None:
        """Add a type conversion."""
        self._op("Cast", [source], output, to=kind)

    def _op(self, kind: str, inputs: list[str], output: str, **attributes: wire.Attribute) -> str:
        self.nodes.append(wire.node(kind, inputs, output, attributes))
        return output

    def node(self, node: Node, sources: list[str], output: str) -> None:
        """Add the ONNX nodes for one graph node that reads `sources` and writes `output`."""
        match node:
            case Conv():
                self._conv(node, sources, output)
            case Activate():
                self._activation(node.activation, sources[0], output)
            case Add():
                self._sum(node, sources, output)
            case Mul():
                self._op("Mul", sources, output)
            case Scale():
                self._op(
                    "Mul", [*sources, self._constant(f"{output}.factor", np.array(node.factor, np.float32))], output
                )
            case Concat():
                self._op("Concat", sources, output, axis=1)
            case MaxPool():
                self._op("MaxPool", sources, output, kernel_shape=[node.kernel] * 2, strides=[node.stride] * 2)
            case Resample("upsample_nearest"):
                # ONNX requires float32 scales in every precision.
                scales = self._given(f"{output}.scales", np.array([1, 1, node.factor, node.factor], np.float32))
                settings = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self._op("Resize", [*sources, "", scales], output, **settings)
            case Resample("pixel_shuffle"):
                self._op("DepthToSpace", sources, output, blocksize=node.factor, mode="CRD")
            case Resample():
                self._unshuffle(node.factor, self._shapes[node.source].channels, sources[0], output)

    def _conv(self, node: Conv, sources: list[str], output: str) -> None:
        inputs = [*sources, self._constant(f"{output}.weight", node.weight)]
        if node.bias is not None:
            inputs.append(self._constant(f"{output}.bias", node.bias))
        kernel = node.weight.shape[2]
        linear = output if node.activation is None else f"{output}.linear"
        self._op("Conv", inputs, linear, kernel_shape=[kernel] * 2, strides=[node.stride] * 2, pads=[node.padding] * 4)
        if node.activation is not None:
            self._activation(node.activation, linear, output)

    def _activation(self, activation: Activation, source: str, output: str) -> None:
        if activation.kind == "relu":
            self._op("Relu", [source], output)
        elif activation.kind == "sigmoid":
            self._op("Sigmoid", [source], output)
        elif activation.kind == "silu":  # ONNX has no operator for it before opset 24
            self._op("Mul", [source, self._op("Sigmoid", [source], f"{output}.gate")], output)
        elif activation.kind == "leaky_relu":
            self._op("LeakyRelu", [source], output, alpha=activation.slope)
        else:
            assert activation.slopes is not None  # checked by `infer_shapes`
            self._op("PRelu", [source, self._constant(f"{output}.slopes", activation.slopes.reshape(-1, 1, 1))], output)

    def _sum(self, node: Add, sources: list[str], output: str) -> None:
        terms: list[str] = []
        for index, (source, coefficient) in enumerate(zip(sources, node.coefficients, strict=True)):
            if coefficient == 1.0:
                terms.append(source)
            else:
                factor = self._constant(f"{output}.factor{index}", np.array(coefficient, np.float32))
                terms.append(self._op("Mul", [source, factor], f"{output}.term{index}"))
        total = terms[0]
        for index, term in enumerate(terms[1:], 1):
            total = self._op("Add", [total, term], output if index == len(terms) - 1 else f"{output}.sum{index}")

    def _unshuffle(self, factor: int, channels: int, source: str, output: str) -> None:
        """Pixel unshuffle as a grouped convolution with one-hot kernels, exact in every precision.

        ONNX's SpaceToDepth orders new channels (i, j, c), torch (c, i, j), and SpaceToDepth, Gather and Conv in a row
        give wrong results in OpenVINO 2026.4.
        """
        one_hot = np.eye(factor * factor, dtype=np.float32).reshape(-1, 1, factor, factor)
        kernels = np.tile(one_hot, (channels, 1, 1, 1))
        inputs = [source, self._constant(f"{output}.weight", kernels)]
        self._op("Conv", inputs, output, kernel_shape=[factor] * 2, strides=[factor] * 2, group=channels)
