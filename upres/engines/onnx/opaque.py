"""A user's ONNX file of unknown architecture, checked (`upres.engines.onnx.file`) and run by ONNX Runtime as is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.failures import failure, reason_of
from upres.engines.onnx.file import parse, read_bytes
from upres.engines.onnx.runner import FAILURES, open_session
from upres.engines.opaque.program import Cost, live_bytes
from upres.engines.runner import threads_or_default
from upres.errors import EngineError, ModelError
from upres.graph.nodes import Array
from upres.system.packages import has_module, import_failure

try:
    import onnx as _onnx
    import onnxruntime as _onnxruntime  # pyright: ignore[reportMissingTypeStubs]
    from google.protobuf.message import EncodeError
except ImportError as error:
    missing = "onnxruntime" if has_module("onnx") else "onnx"
    raise import_failure("an ONNX file", "onnx", missing, error) from error

_ONNX: Any = _onnx
_RUNTIME: Any = _onnxruntime
_TYPES = {1: np.float32, 10: np.float16, 2: np.uint8}
_COLORS = (1, 3)


class OnnxProgram:
    """An ONNX file. See `Program`.

    Raises ModelError if the file is damaged, unsafe, or not an image-to-image network.
    """

    name = f"onnxruntime {_RUNTIME.__version__}"
    family = "onnx"
    memory_factor = 2.5  # as in `OnnxRunner`
    grid_px = 1

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        data = read_bytes(path)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._path = path
        self._threads = threads_or_default(threads)
        model = parse(data, path)
        self._model = model
        self.parameters = sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer)
        constants = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        if len(inputs) != 1 or len(model.graph.output) != 1:
            raise ModelError(
                f"model file {path}: expected one input and one output, got {len(inputs)} and {len(model.graph.output)}"
            )
        self._input, self._output = inputs[0].name, model.graph.output[0].name
        tensor = inputs[0].type.tensor_type
        dims = [int(dim.dim_value) if dim.WhichOneof("value") == "dim_value" else 0 for dim in tensor.shape.dim]
        if tensor.elem_type not in _TYPES or (dims and len(dims) != 4) or (dims and dims[0] > 1):
            raise ModelError(
                f"model file {path}: expected an input (1, channels, height, width) of float32, float16 or uint8; "
                f"{self._input!r} has ONNX type {tensor.elem_type} and shape {dims}"
            )
        self._type = _TYPES[tensor.elem_type]
        self.takes_bytes = self._type is np.uint8
        dims = dims or [1, 0, 0, 0]
        self._channels_last = dims[3] in _COLORS and dims[1] not in _COLORS
        channels, height, width = (dims[3], dims[1], dims[2]) if self._channels_last else tuple(dims[1:])
        if channels not in (0, *_COLORS):
            raise ModelError(f"model file {path}: expected an input of 3 (RGB) or 1 (gray) channels, got {channels}")
        self.channels = (channels,) if channels else (3, 1)
        self.fixed = (height, width) if height > 0 and width > 0 else None
        self._session: Any = self._open(data)

    def _open(self, data: bytes) -> Any:
        try:
            return open_session(data, threads=self._threads)
        except FAILURES as error:
            raise ModelError(f"model file {self._path}: {self.name} rejects it: {reason_of(error)}") from error

    def __call__(self, lr: Array) -> Array:
        if self._session is None:
            raise EngineError("this onnx program is closed")
        return self._picture(self._run(self._session, [self._output], lr)[0])

    def _run(self, session: Any, outputs: list[str], lr: Array) -> list[Any]:
        x = np.ascontiguousarray(lr.transpose(0, 2, 3, 1)) if self._channels_last else lr
        x = np.clip(np.rint(x), 0.0, 255.0).astype(np.uint8) if self.takes_bytes else x.astype(self._type)
        try:
            return session.run(outputs, {self._input: x})
        except FAILURES as error:
            raise failure(self.name, lr, error) from error

    def _picture(self, values: Any) -> Array:
        if np.ndim(values) != 4 or np.asarray(values).dtype.kind not in "fu":
            raise EngineError(f"{self.name}: expected a result (1, channels, height, width), got {np.shape(values)}")
        y: Array = np.asarray(values, dtype=np.float32)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if self._channels_last else y

    def cost(self, lr: Array) -> Cost:
        """Measured with a second session that outputs all activations."""
        model = _ONNX.ModelProto()
        model.CopyFrom(self._model)
        known = {value.name for value in model.graph.output}
        activations = [name for node in model.graph.node for name in node.output if name and name not in known]
        model.graph.output.extend(_ONNX.helper.make_empty_tensor_value_info(name) for name in activations)
        names = [*activations, *known]
        try:
            values = dict(zip(names, self._run(self._open(model.SerializeToString()), names, lr), strict=True))
        except (ModelError, EngineError, EncodeError):  # too large for protobuf, or an activation that is no output
            values = {self._output: self(lr)}
        shapes: dict[str, tuple[int, ...]] = {name: np.shape(value) for name, value in values.items()}
        shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        shapes[self._input] = lr.shape
        constants = {tensor.name for tensor in model.graph.initializer}
        macs = sum(_macs(node, shapes) for node in model.graph.node)
        steps = [
            (tuple(name for name in node.input if name not in constants), tuple(node.output))
            for node in model.graph.node
        ]
        sizes = {name: int(np.prod(shape, dtype=np.int64)) for name, shape in shapes.items() if name not in constants}
        return Cost(macs, live_bytes(steps, sizes, self._input, self._output))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> float:
    """Multiply-adds of a convolution or matrix product; 0 for other nodes and unknown shapes."""
    if node.op_type in ("Conv", "FusedConv", "ConvTranspose") and len(node.input) > 1:
        of = node.input[0] if node.op_type == "ConvTranspose" else node.output[0]
        weight, seen = shapes.get(node.input[1]), shapes.get(of)
        if weight and seen and len(seen) > 2:
            return float(np.prod(weight, dtype=np.float64) * np.prod(seen[2:], dtype=np.float64))
    if node.op_type in ("MatMul", "Gemm", "FusedMatMul"):
        first, given = shapes.get(node.input[0]), shapes.get(node.output[0])
        if first and given:
            return float(np.prod(given, dtype=np.float64) * first[-1])
    return 0.0
