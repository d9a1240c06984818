"""The ONNX Runtime engine: a graph is passed as ONNX in memory to an execution provider, by default the CPU's.

Three defaults of the runtime are overridden: falling back to the CPU if a provider does not load (here an error),
TensorFloat-32 (10 mantissa bits instead of 23) in float32 convolutions on NVIDIA GPUs, and telemetry on Windows.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from upres.engines.failures import failure, is_short_of_memory, reason_of
from upres.engines.onnx.program import onnx_bytes, with_every_value
from upres.engines.runner import Precision, check_input, check_output, threads_or_default
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.system.packages import import_failure

try:
    import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:
    raise import_failure("engine 'onnx'", "onnx", "onnxruntime", error) from error


_RUNTIME: Any = onnxruntime
_KEPT_TWICE = 16 << 20  # bytes of weights that are kept for one thread and for all
_RUNTIME.disable_telemetry_events()


@dataclass(frozen=True, slots=True)
class _Provider:
    """An execution provider.

    Args:
        name: The runtime's name for it.
        package: The Python package that contains it.
        numbered: Whether it takes a device number.
    """

    name: str
    package: str
    numbered: bool = False


# By device, in order of preference.
_PROVIDERS = {
    "cpu": (_Provider("CPUExecutionProvider", "onnxruntime"),),
    "cuda": (_Provider("CUDAExecutionProvider", "onnxruntime-gpu", numbered=True),),
    "tensorrt": (_Provider("TensorrtExecutionProvider", "onnxruntime-gpu", numbered=True),),
    "rocm": (
        _Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx", numbered=True),
        _Provider("ROCMExecutionProvider", "onnxruntime-rocm", numbered=True),
    ),
    "migraphx": (_Provider("MIGraphXExecutionProvider", "onnxruntime-migraphx", numbered=True),),
    "directml": (_Provider("DmlExecutionProvider", "onnxruntime-directml", numbered=True),),
    "coreml": (_Provider("CoreMLExecutionProvider", "onnxruntime (on macOS)"),),
    "openvino": (_Provider("OpenVINOExecutionProvider", "onnxruntime-openvino"),),
}


def _own_exceptions(module: Any) -> list[type[Exception]]:
    """The runtime's exception classes, about fifteen without a common base."""
    found: list[Any] = [getattr(module, name) for name in dir(module)]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]


# What the runtime raises: its own exceptions and those of its bindings.
FAILURES = (
    *_own_exceptions(_RUNTIME.capi.onnxruntime_pybind11_state),
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
    MemoryError,
)


class OnnxRunner:
    """Runs a graph in ONNX Runtime. See `Runner`.

    Args:
        graph: The network.
        threads: On the CPU; 0 is one per available core. A session has its number of threads, so one more is opened for
            tiles in one thread each; with large weights only one of the two is kept.
        exact: Has no effect: this engine uses direct convolution only.
        device: A key of `_PROVIDERS` such as "cuda", or with a number "cuda:1"; "auto" is "cpu".
        precision: "fp32" or "fp16"; on most CPUs fp16 is not faster, since it is computed in float32.

    Raises:
        EngineError: This build of the runtime does not have the device, or cannot load it.
        OutOfMemoryError: Memory is short.
        UsageError: The precision is another.
    """

    name = f"onnxruntime {_RUNTIME.__version__}"
    grid_px = 1

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int = 0,
        exact: bool = False,
        device: str = "auto",
        precision: Precision = "fp32",
    ) -> None:
        if precision not in ("fp32", "fp16"):
            raise UsageError(f"engine 'onnx' has precisions fp32, fp16; got {precision!r}")
        self._graph = graph
        self.precision: Precision = precision
        # Measured 0.8 to 2.0; in fp16 up to 3.0, since the CPU makes float32 copies.
        self.memory_factor = 2.5 if precision == "fp32" else 3.5
        self.device, provider, options = _provider(device)
        self.notes = _notes(provider, precision)
        self._provider, self._options, self._closed = provider, options, False
        on_cpu = provider == "CPUExecutionProvider"
        self._threads = threads_or_default(threads)
        self.parallel_calls = self._threads if on_cpu else 1
        self._weight_bytes = graph.parameters * 4
        # Measured with RRDB-23: a session holds 4.1 times its weights, beside those of the graph.
        copies = 5.5 if self._weight_bytes > _KEPT_TWICE else 9.5
        self.fixed_bytes = int(copies * self._weight_bytes) if on_cpu else 0
        self._sessions: dict[int, Any] = {}  # by threads
        self._lock = threading.Lock()
        try:
            self._ready(1 if on_cpu else self._threads)
        except EngineError:
            raise
        except FAILURES as error:
            kind = OutOfMemoryError if is_short_of_memory(error) else EngineError
            raise kind(
                f"{self.name} cannot use device {device!r} for this {graph.family} network: {reason_of(error)}"
            ) from error

    def _ready(self, threads: int) -> Any:
        """The session with that many threads. Raises one of `FAILURES`, or EngineError."""
        with self._lock:
            if self._closed:
                raise EngineError("this onnx runner is closed")
            if threads not in self._sessions:
                if self._weight_bytes > _KEPT_TWICE:
                    self._sessions.clear()
                data = onnx_bytes(self._graph, half=self.precision == "fp16")
                session = open_session(data, threads=threads, provider=self._provider, options=self._options)
                self._check_provider(session)
                self._sessions[threads] = session
            return self._sessions[threads]

    def _check_provider(self, session: Any) -> None:
        found: list[str] = session.get_providers()
        if found[:1] != [self._provider]:
            raise EngineError(
                f"{self.name} has {self._provider} but cannot load it, and would run on {', '.join(found)}; the driver "
                "or a library is missing or has the wrong version (see the runtime's output). Device 'cpu' always works"
            )

    def __call__(self, lr: Array) -> Array:
        return self._run(lr, self._threads)

    def in_one_thread(self, lr: Array) -> Array:
        """See `runner.parallel_of`."""
        return self._run(lr, 1)

    def _run(self, lr: Array, threads: int) -> Array:
        check_input(self._graph, lr)
        try:
            sr: Array = self._ready(threads).run(["sr"], {"lr": np.ascontiguousarray(lr)})[0]
        except EngineError:
            raise
        except FAILURES as error:
            raise failure(self.name, lr, error) from error
        return check_output(self.name, lr, sr, self._graph.scale)

    def close(self) -> None:
        """Free the sessions."""
        with self._lock:
            self._closed = True
            self._sessions.clear()


def largest_between(graph: Graph, lr: Array, *, threads: int = 0) -> float:
    """The largest magnitude of any activation of `graph` on `lr`, in float32 on the CPU; float16 holds up to 65504.

    Raises EngineError.
    """
    check_input(graph, lr)
    data, names = with_every_value(onnx_bytes(graph))
    try:
        values: list[Array] = open_session(data, threads=threads).run(names, {"lr": np.ascontiguousarray(lr)})
    except FAILURES as error:
        raise failure(OnnxRunner.name, lr, error) from error
    return max(float(np.abs(value).max()) for value in values)


def open_session(
    data: bytes, *, threads: int = 0, provider: str = "CPUExecutionProvider", options: dict[str, str] | None = None
) -> Any:
    """Open a session on an ONNX model, without fallback to the CPU. Raises one of `FAILURES`."""
    settings = _RUNTIME.SessionOptions()
    settings.intra_op_num_threads = threads_or_default(threads)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # errors are raised
    if provider == "DmlExecutionProvider":
        settings.enable_mem_pattern = False  # DirectML does not support it
    if provider == "CUDAExecutionProvider" and hasattr(_RUNTIME, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it misses, which the system may have elsewhere
            _RUNTIME.preload_dlls()  # CUDA and cuDNN from pip packages
    return _RUNTIME.InferenceSession(data, settings, providers=[(provider, options or {})], enable_fallback=0)


def present_devices() -> list[tuple[str, str, str]]:
    """(device, kind, provider) of each device beside the CPU that this build of the runtime was made for."""
    names = {provider.name: device for device, able in _PROVIDERS.items() for provider in able}
    found = [(names.get(name, ""), name) for name in _RUNTIME.get_available_providers()]
    return [(device, device, name) for device, name in found if device not in ("", "cpu")]


def _provider(device: str) -> tuple[str, str, dict[str, str]]:
    """(device with its number, provider name, provider options). Raises EngineError if there is no provider."""
    name, colon, number = ("cpu" if device == "auto" else device).partition(":")
    able = _PROVIDERS.get(name, ())
    present: list[str] = _RUNTIME.get_available_providers()
    usable = [provider for provider in able if provider.name in present]
    if not able or (colon and not (able[0].numbered and number.isdecimal())):
        numbered = ", ".join(f"{known}:N" for known, found in _PROVIDERS.items() if found[0].numbered)
        raise EngineError(
            f"engine 'onnx' has no device {device!r}; expected one of {', '.join(_PROVIDERS)}, {numbered}"
        )
    if not usable:
        packages = " or ".join(provider.package for provider in able)
        raise EngineError(
            f"engine 'onnx' cannot use device {device!r}: this onnxruntime has {', '.join(present)}, not "
            f"{able[0].name}; remedy: pip uninstall onnxruntime, then pip install {packages}"
        )
    provider = usable[0]
    index = number or "0"
    options = {"device_id": index} if provider.numbered else {}
    if provider.name == "CUDAExecutionProvider":
        # By default every kernel is tried for every new shape (tiles have several), and the arena grows by doubling.
        options |= {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    elif provider.name == "CoreMLExecutionProvider":
        options = {"ModelFormat": "MLProgram"}  # the older format may compute float32 in float16
    return (f"{name}:{index}" if provider.numbered else name), provider.name, options


def _notes(provider: str, precision: Precision) -> tuple[str, ...]:
    if provider == "CPUExecutionProvider" and precision == "fp16":
        return ("fp16 on the CPU halves the weights, but ONNX Runtime computes in float32 if the CPU lacks float16",)
    # TensorRT has no option for TensorFloat-32, only this variable, which must be set before it is loaded.
    if provider == "TensorrtExecutionProvider" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
        return (
            "TensorRT may round float32 to TensorFloat-32 (10 mantissa bits); set NVIDIA_TF32_OVERRIDE=0 to avoid it",
        )
    return ()
