"""Translate exceptions of engine libraries: out of memory, for which smaller tiles may help, or another failure.

An engine may report lack of memory as MemoryError, RuntimeError or a class of its own, so the message decides.
"""

from __future__ import annotations

import traceback

from upres.errors import EngineError, OutOfMemoryError
from upres.graph.nodes import Array
from upres.system.text import first_line

_SHORT_OF_MEMORY = (
    "out of memory",  # CUDA, HIP, MPS, XPU
    "outofmemory",
    "out_of_memory",
    "out_of_host_memory",
    "out_of_device_memory",
    "not enough memory",  # torch on Windows, DirectML
    "defaultcpuallocator",
    "bad_alloc",
    "bad allocation",
    "failed to allocate",  # ONNX Runtime
    "bfcarena",
    "alloc_failed",  # cuBLAS, cuDNN
    "allocation_failure",  # OpenCL
    "allocate memory",
    "max size of memory object allocation",  # OpenVINO on GPUs
)

_STACK = ("Exception from ", "Caught exception: Exception from ", "Check '")

_OTHER_GPUS = (  # "gpu" is OpenVINO's name for Intel's
    "; for other GPUs use device cuda (NVIDIA: torch, onnx), vulkan (any: ncnn), mps (Apple: torch) "
    "or directml (Windows: onnx)"
)


def is_short_of_memory(error: BaseException) -> bool:
    """Whether the exception reports a lack of memory, whatever its class."""
    return isinstance(error, MemoryError) or _tells_of_memory(str(error))


def _tells_of_memory(text: str) -> bool:
    return any(words in text.lower() for words in _SHORT_OF_MEMORY)


def reason_of(error: BaseException) -> str:
    """The message of an exception in one line, without stack traces (with which OpenVINO begins) and further advice."""
    lines = [line for line in str(error).splitlines() if not line.startswith(_STACK)]
    lines.sort(key=_tells_of_memory, reverse=True)
    return first_line("\n".join(lines)).removeprefix("[ONNXRuntimeError] : ")[:300] or type(error).__name__


def failure(engine: str, lr: Array, error: BaseException) -> EngineError:
    """The error to raise when `engine` fails on `lr` (1, c, h, w): an OutOfMemoryError, or an EngineError.

    Clears the frames of `error`: they would keep activations alive as long as the exception, and leave less memory for
    a smaller tile.
    """
    traceback.clear_frames(error.__traceback__)
    size = f"{lr.shape[2]} x {lr.shape[3]} pixels"
    if is_short_of_memory(error):
        return OutOfMemoryError(f"{engine} ran out of memory on {size}: {reason_of(error)}; try a smaller tile")
    return EngineError(f"{engine} failed on {size}: {reason_of(error)}; try a smaller tile")


def other_gpus(device: str) -> str:
    """For the end of a refusal of device "gpu": what other GPUs are called. Empty for any other device."""
    return _OTHER_GPUS if device.partition(":")[0] == "gpu" else ""
