"""ONNX Runtime: the graph is written as ONNX in memory and run by one of the runtime's providers, the CPU's unless another is asked for.

Three things that the runtime does by itself are not left to it. Where a provider cannot be loaded, it goes on with the CPU: here that is
an error. On NVIDIA's cards it rounds the factors of float32 convolutions to TensorFloat-32, 10 bits of 23: here it does not. And its builds
for Windows report events to the system's trace: that is switched off.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from upres.engines.failures import failure, first_line, is_short_of_memory
from upres.engines.onnx.program import onnx_bytes, with_every_value
from upres.engines.runner import Precision, check_input, check_output, threads_or_default
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Array

try:
    import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:
    raise EngineError("engine 'onnx' needs onnxruntime, which is not installed; remedy: pip install 'upres[onnx]'") from error


_RUNTIME: Any = onnxruntime
_RUNTIME.disable_telemetry_events()


@dataclass(frozen=True, slots=True)
class _Provider:
    """A name of the runtime's, the package that brings it, and whether there may be several of its devices."""

    name: str
    package: str
    numbered: bool = False


# By device. Those of one device are tried in this order.
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
    """Fifteen or so, without a common base."""
    found: list[Any] = [getattr(module, name) for name in dir(module)]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, Exception)]


# What the runtime raises: exceptions of its own, and those of its bindings.
FAILURES = (
    *_own_exceptions(_RUNTIME.capi.onnxruntime_pybind11_state),
    RuntimeError,
    ValueError,
    IndexError,
    TypeError,
    MemoryError,
)


class OnnxRunner:
    """A graph in ONNX Runtime. See `Runner`."""

    name = f"onnxruntime {_RUNTIME.__version__}"
    grid_px = 1

    def __init__(
        self, graph: Graph, *, threads: int = 0, exact: bool = False, device: str = "auto", precision: Precision = "fp32"
    ) -> None:
        """device: "cpu" (also "auto"), "cuda", "cuda:1", "tensorrt", "rocm", "migraphx", "directml", "coreml" or "openvino".

        exact: accepted for symmetry; direct convolution is all that this engine does. fp16 on the CPU is not faster (see `_notes`).
        Raises EngineError for a device that this build of the runtime does not have or cannot load, UsageError for another precision.
        """
        if precision not in ("fp32", "fp16"):
            raise UsageError(f"engine 'onnx' computes in fp32 or fp16; found {precision!r}")
        self._graph = graph
        self.precision: Precision = precision
        # Measured 0.8 to 2.0; in fp16 up to 3.0, for the CPU keeps a float32 copy of what it computes with.
        self.memory_factor = 2.5 if precision == "fp32" else 3.5
        self.device, provider, options = _provider(device)
        self.notes = _notes(provider, precision)
        data = onnx_bytes(graph, half=precision == "fp16")
        try:
            self._session: Any = open_session(data, threads=threads, provider=provider, options=options)
        except FAILURES as error:
            kind = OutOfMemoryError if is_short_of_memory(error) else EngineError
            raise kind(f"{self.name} cannot use device {device!r} for this {graph.family} network: {first_line(error)}") from error
        found: list[str] = self._session.get_providers()
        if found[:1] != [provider]:
            raise EngineError(
                f"{self.name} has {provider} but could not load it, and would run on {', '.join(found)}; the driver, or a library that the "
                "provider needs, is missing or of another version (the runtime has printed which). Without `device` the CPU is used"
            )

    def __call__(self, lr: Array) -> Array:
        if self._session is None:
            raise EngineError("this onnx runner is closed")
        check_input(self._graph, lr)
        try:
            sr: Array = self._session.run(["sr"], {"lr": np.ascontiguousarray(lr)})[0]
        except FAILURES as error:
            raise failure(self.name, lr, error) from error
        return check_output(self.name, lr, sr, self._graph.scale)

    def close(self) -> None:
        """Free the session."""
        self._session = None


def largest_between(graph: Graph, lr: Array, *, threads: int = 0) -> float:
    """The largest magnitude of any value between the layers of `graph` when it runs over `lr`, in float32 on the CPU.

    float16 ends at 65504. Raises EngineError.
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
    """A session of the runtime for a model's bytes. Raises one of `FAILURES`; the runtime's own way back to the CPU is off."""
    settings = _RUNTIME.SessionOptions()
    settings.intra_op_num_threads = threads_or_default(threads)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 4  # what goes wrong comes as an exception
    if provider == "DmlExecutionProvider":
        settings.enable_mem_pattern = False  # DirectML has none
    if provider == "CUDAExecutionProvider" and hasattr(_RUNTIME, "preload_dlls"):
        with redirect_stdout(io.StringIO()):  # it prints what it does not find, and the system may have it elsewhere
            _RUNTIME.preload_dlls()  # CUDA and cuDNN out of pip's packages
    return _RUNTIME.InferenceSession(data, settings, providers=[(provider, options or {})], enable_fallback=0)


def _provider(device: str) -> tuple[str, str, dict[str, str]]:
    """(the device with its number, the runtime's name of its provider, options for it). Raises EngineError where there is none."""
    name, colon, number = ("cpu" if device == "auto" else device).partition(":")
    able = _PROVIDERS.get(name, ())
    present: list[str] = _RUNTIME.get_available_providers()
    usable = [provider for provider in able if provider.name in present]
    if not able or (colon and not (able[0].numbered and number.isdecimal())):
        numbered = ", ".join(f"{known}:N" for known, found in _PROVIDERS.items() if found[0].numbered)
        raise EngineError(f"engine 'onnx' has no device {device!r}: it knows {', '.join(_PROVIDERS)}, and {numbered} with a number N")
    if not usable:
        packages = " or ".join(provider.package for provider in able)
        raise EngineError(
            f"engine 'onnx' cannot use device {device!r}: this onnxruntime has {', '.join(present)}, not {able[0].name}; "
            f"remedy: pip uninstall onnxruntime, then pip install {packages}"
        )
    provider = usable[0]
    index = number or "0"
    options = {"device_id": index} if provider.numbered else {}
    if provider.name == "CUDAExecutionProvider":
        # The default tries every kernel for every new shape, and a picture's tiles have several; and it doubles the arena as it grows.
        options |= {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"}
    elif provider.name == "CoreMLExecutionProvider":
        options = {"ModelFormat": "MLProgram"}  # the older format computes float32 in float16 where it likes to
    return (f"{name}:{index}" if provider.numbered else name), provider.name, options


def _notes(provider: str, precision: Precision) -> tuple[str, ...]:
    if provider == "CPUExecutionProvider" and precision == "fp16":
        return ("fp16 on the CPU halves the weights; ONNX Runtime computes in float32 where the processor has no float16 of its own",)
    # The one provider that cannot be told to leave TensorFloat-32 off, but by the environment, before it is loaded.
    if provider == "TensorrtExecutionProvider" and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
        return ("TensorRT may round float32 to TensorFloat-32 (10 bits of 23): set NVIDIA_TF32_OVERRIDE=0 to forbid it",)
    return ()
