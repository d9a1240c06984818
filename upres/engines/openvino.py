"""The OpenVINO engine: a graph is passed as ONNX in memory and compiled for an Intel device, or an x86 or ARM CPU.

It is compiled once with dynamic height and width. Against one compilation per tile shape, on two cores: compact 64 x 16
at 128 x 128 pixels 0.109 and 0.107 s, RRDB with 6 blocks at 96 x 96 0.591 and 0.593 s; each compilation would take 0.05
and 0.25 s.

Two defaults of OpenVINO are overridden. It would compute in bfloat16 on processors with AMX and in float16 on GPUs: the
precision is set, and checked after compilation. And `import openvino` would report to Intel's telemetry if
openvino-telemetry is installed, as it is by default: that package is hidden during the import.

When memory is short, `InferRequest.infer` of 2026.4 does not raise but returns the result of an earlier call.
`start_async` and `wait` raise, but the compiled network stays broken for sizes it has seen. So requests are
asynchronous, the network is compiled again after a failure, and output arrays are filled with NaN before.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from upres.engines.failures import failure, is_short_of_memory, other_gpus, reason_of
from upres.engines.onnx.program import onnx_bytes
from upres.engines.runner import Precision, check_input, check_output, threads_or_default
from upres.engines.signal_stack import own_signal_stack
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.system.packages import import_failure


@contextmanager
def _without_telemetry() -> Generator[None]:
    """Hide the telemetry package from openvino's import, which then uses its own stub for the rest of the process."""
    name = "openvino_telemetry"
    known = name in sys.modules
    if not known:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]  # makes `import` raise ImportError
    try:
        yield
    finally:
        if not known:
            del sys.modules[name]


try:
    with _without_telemetry():
        import openvino as _openvino
except ImportError as error:
    raise import_failure("engine 'openvino'", "openvino", "openvino", error) from error

_OPENVINO: Any = _openvino
_NAME = f"openvino {_OPENVINO.__version__.partition('-')[0]}"
_TYPES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_NAMES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


@cache
def _core() -> Any:
    """The process's only `Core`, with devices loaded; see `engines.signal_stack` for its side effect."""
    with own_signal_stack():
        core: Any = _OPENVINO.Core()
        _ = core.available_devices  # loads the devices
    return core


class _Net:
    """A network on one device, compiled on first use and again after a failure."""

    def __init__(self, core: Any, model: Any, target: str, precision: Precision, threads: int) -> None:
        self._core, self._model, self._target = core, model, target
        self._settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": _TYPES[precision]}
        if target == "CPU":
            self._settings["INFERENCE_NUM_THREADS"] = threads_or_default(threads)
        self._request: Any = None

    def compile(self) -> str:
        """Compile the network and return the precision in which it computes."""
        with own_signal_stack():
            compiled = self._core.compile_model(self._model, self._target, self._settings)
            self._request = compiled.create_infer_request()
        return _NAMES.get(compiled.get_property("INFERENCE_PRECISION_HINT").to_dtype().name, "another precision")

    def run(self, lr: Array, sr: Array | None = None) -> Array:
        """Run on `lr`; the result is written to `sr` if given, which must fit. Raises RuntimeError, MemoryError."""
        if self._request is None:
            self.compile()
        request: Any = self._request
        self._request = None
        if sr is not None:
            request.set_output_tensor(_OPENVINO.Tensor(sr, shared_memory=True))
        request.start_async({0: np.ascontiguousarray(lr)}, share_inputs=True)
        request.wait()
        self._request = request  # reuse it, since it has not failed
        return sr if sr is not None else np.array(request.get_output_tensor(0).data, np.float32)


class OpenVinoRunner:
    """Runs a graph in OpenVINO. See `Runner`.

    Args:
        graph: The network.
        threads: On the CPU; 0 is one per available core.
        exact: Has no effect: OpenVINO uses direct convolution only.
        device: "cpu" (also "auto"), "gpu", "gpu:1" or "npu".
        precision: Of weights and activations.

    Raises:
        EngineError: The device is missing, cannot run the network, or does not compute in this precision.
        OutOfMemoryError: Memory is short.
        UsageError: The precision is unknown.
    """

    name = _NAME
    notes: tuple[str, ...] = ()
    grid_px = 1
    memory_factor = 2.5  # measured 1.0 to 2.2

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 0,
        exact: bool = False,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> None:
        if precision not in _TYPES:
            raise UsageError(f"engine 'openvino' has precisions {', '.join(_TYPES)}; got {precision!r}")
        self._graph = graph
        self.precision: Precision = precision
        core = _core()
        target = _target(device, list(core.available_devices))
        self.device = _ours(target)
        try:
            net = _Net(core, core.read_model(onnx_bytes(graph)), target, precision, threads)
            found = net.compile()
        except (RuntimeError, MemoryError) as error:
            kind = OutOfMemoryError if is_short_of_memory(error) else EngineError
            raise kind(
                f"{self.name} cannot load this {graph.family} network on {target}: {reason_of(error)}"
            ) from error
        if found != precision:
            raise EngineError(
                f"{self.name} computes in {found} on this {target}, not in {precision}; choose another precision"
            )
        self._net: _Net | None = net

    def __call__(self, lr: Array) -> Array:
        if self._net is None:
            raise EngineError("this openvino runner is closed")
        check_input(self._graph, lr)
        size = (lr.shape[2] * self._graph.scale, lr.shape[3] * self._graph.scale)
        try:
            # A new array for each call, since the caller owns the result.
            sr = self._net.run(lr, np.full((1, self._graph.out_channels, *size), np.nan, np.float32))
        except (RuntimeError, MemoryError) as error:
            raise failure(self.name, lr, error) from error
        return check_output(self.name, lr, sr, self._graph.scale)

    def close(self) -> None:
        """Free the compiled network."""
        self._net = None


class OpenVinoFile:
    """An ONNX file with one input and one output, run on the CPU, as other programs would run it; for testing exports.

    Raises EngineError if OpenVINO rejects the file.
    """

    name = _NAME

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        core = _core()
        try:
            self._net: _Net | None = _Net(core, core.read_model(str(path)), "CPU", "fp32", threads)
            self._net.compile()
        except (RuntimeError, MemoryError) as error:
            raise EngineError(f"{self.name} rejected {path.name}: {reason_of(error)}") from error

    def __call__(self, lr: Array) -> Array:
        """float32 (1, c, h, w) to (1, c', h', w'). Raises EngineError."""
        if self._net is None:
            raise EngineError("this openvino file is closed")
        try:
            return self._net.run(lr)
        except (RuntimeError, MemoryError) as error:
            raise failure(self.name, lr, error) from error

    def close(self) -> None:
        """Free the compiled network."""
        self._net = None


def _target(device: str, present: list[str]) -> str:
    """OpenVINO's name of the device, "GPU.1" for "gpu:1" or "gpu.1". Raises EngineError if it is not present."""
    target = "CPU" if device == "auto" else device.upper().replace(":", ".")
    # OpenVINO lists several devices of a kind with numbers, a single one without; "GPU" always means the first.
    kinds = {name.partition(".")[0] for name in present}
    if target in present or target in kinds or (target.endswith(".0") and target[:-2] in {*present} - {"CPU"}):
        return target
    found = ", ".join(_ours(name) for name in present)
    raise EngineError(f"OpenVINO does not find device {device!r}, only {found}{other_gpus(device)}")


def present_devices() -> list[tuple[str, str, str]]:
    """(device, kind, name) of each that OpenVINO finds beside the CPU."""
    core, found = _core(), list[tuple[str, str, str]]()
    for target in core.available_devices:
        if target != "CPU":
            device = _ours(target)
            found.append((device, device.partition(":")[0], core.get_property(target, "FULL_DEVICE_NAME")))
    return found


def _ours(target: str) -> str:
    return target.lower().replace(".", ":")
