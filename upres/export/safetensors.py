"""Export a state dict to `.safetensors`, with the names that BasicSR, Real-ESRGAN and spandrel use."""

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


def write_state(
    state: Mapping[str, NDArray[np.generic]], path: Path, *, half: bool = False, facts: Mapping[str, str]
) -> None:
    """Write the tensors of a network to `path`. Raises EngineError if a number exceeds float16, ModelError,
    OutputError.

    state: Renamed by `canonical`: RRDBNet as in BasicSR, others unchanged.
    path: The file; nothing is left there on failure.
    half: Store floats as float16; integers and booleans stay.
    facts: Metadata of the file.
    """
    tensors = {name: _half(name, tensor) if half else tensor for name, tensor in canonical(state).items()}
    write_safetensors(path, tensors, {"format": "pt", **facts})


def open_state(path: Path, threads: int) -> Iterator[tuple[str, Callable[[], Opened] | None]]:
    """(package, function that opens the file): it is read again like any model file."""

    def ncnn() -> Opened:
        from upres.engines.ncnn.runner import NcnnRunner

        return NcnnRunner(graph_from_state_dict(read_weights(path)), threads=threads, exact=True)

    yield "ncnn", ncnn


def _half(name: str, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
    if not np.issubdtype(tensor.dtype, np.floating):
        return tensor
    if np.abs(tensor).max(initial=0.0) > _LARGEST_HALF:
        raise EngineError(
            f"{name} contains {np.abs(tensor).max():g}, above the float16 maximum of {_LARGEST_HALF:g}; "
            "export without `half`"
        )
    return tensor.astype(np.float16)
