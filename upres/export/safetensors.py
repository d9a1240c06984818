"""A state dict as a `.safetensors` file under the names that BasicSR, Real-ESRGAN and spandrel know it by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.errors import EngineError
from upres.export.onnx import Opened
from upres.graph.architectures import canonical, graph_from_state_dict
from upres.weights.read import read_weights, write_safetensors

_LARGEST_HALF = 65504.0


def write_state(state: Mapping[str, NDArray[np.generic]], path: Path, *, half: bool = False, facts: Mapping[str, str]) -> None:
    """Write the tensors of a network to `path`, under the names of `canonical`: RRDBNet in BasicSR's dialect, all others in their own.

    half: floats are stored as float16; integers and bool stay. Nothing is left at `path` on failure. Raises EngineError where a number is
    beyond float16, ModelError, OutputError.
    """
    tensors = {name: _half(name, tensor) if half else tensor for name, tensor in canonical(state).items()}
    write_safetensors(path, tensors, {"format": "pt", **facts})


def open_state(path: Path, threads: int) -> Iterator[tuple[str, Callable[[], Opened] | None]]:
    """(package, how to run the network that the file holds): read again, as a model file of anybody's is."""

    def ncnn() -> Opened:
        from upres.engines.ncnn.runner import NcnnRunner

        return NcnnRunner(graph_from_state_dict(read_weights(path)), threads=threads, exact=True)

    yield "ncnn", ncnn


def _half(name: str, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
    if not np.issubdtype(tensor.dtype, np.floating):
        return tensor
    if np.abs(tensor).max(initial=0.0) > _LARGEST_HALF:
        raise EngineError(f"{name} holds {np.abs(tensor).max():g}; float16 ends at {_LARGEST_HALF:g}: export this network without half")
    return tensor.astype(np.float16)
