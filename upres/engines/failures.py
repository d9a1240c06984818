"""What an engine's own exception means for us: short of memory, where smaller tiles may fit, or a failure of another kind.

Engines tell in words: the same shortage is a MemoryError, a RuntimeError or an exception without a common base, so the text decides.
"""

from __future__ import annotations

import traceback

from upres.errors import EngineError, OutOfMemoryError
from upres.graph.nodes import Array

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


def is_short_of_memory(error: BaseException) -> bool:
    """True where the exception, of whatever class, tells of memory that could not be had."""
    return isinstance(error, MemoryError) or _tells_of_memory(str(error))


def _tells_of_memory(text: str) -> bool:
    return any(words in text.lower() for words in _SHORT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line: what follows are stacks, and advice for other programs; OpenVINO begins with the stack."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith(_STACK)]
    lines.sort(key=_tells_of_memory, reverse=True)
    return lines[0].strip().removeprefix("[ONNXRuntimeError] : ")[:300] if lines else type(error).__name__


def failure(engine: str, lr: Array, error: BaseException) -> EngineError:
    """The error to raise where `engine` failed on the batch `lr`: an OutOfMemoryError where memory was short, else an EngineError.

    The frames that failed are emptied: they hold the values between layers for as long as anyone keeps the exception, and the next, smaller
    tile would find that memory taken.
    """
    traceback.clear_frames(error.__traceback__)
    size = f"{lr.shape[2]} x {lr.shape[3]} pixels"
    if is_short_of_memory(error):
        return OutOfMemoryError(f"{engine} was short of memory on {size}: {first_line(error)}; try a smaller `tile_px`")
    return EngineError(f"{engine} failed on {size}: {first_line(error)}; try a smaller `tile_px`")
