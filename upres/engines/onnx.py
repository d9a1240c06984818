"""ONNX Runtime: the graph is written as ONNX in memory and run on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from upres.engines.base import Precision, check_input, check_output, threads_or_default
from upres.engines.onnx_program import onnx_bytes
from upres.errors import EngineError
from upres.graph import Graph
from upres.nodes import Array

try:
    import onnxruntime  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:
    raise EngineError("engine 'onnx' needs onnxruntime, which is not installed; remedy: pip install 'upres[onnx]'") from error


_RUNTIME: Any = onnxruntime


class OnnxRunner:
    """A graph in ONNX Runtime. See `Runner`."""

    name = f"onnxruntime {_RUNTIME.__version__}"
    device = "cpu"
    precision: Precision = "fp32"
    notes: tuple[str, ...] = ()
    grid_px = 1
    memory_factor = 2.5  # measured 1.3 to 2.0

    def __init__(self, graph: Graph, *, threads: int = 0, exact: bool = False) -> None:
        """exact: accepted for symmetry; direct convolution is all that this engine does. Raises EngineError where the session fails."""
        self._graph = graph
        options = _RUNTIME.SessionOptions()
        options.intra_op_num_threads = threads_or_default(threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session: Any = _RUNTIME.InferenceSession(onnx_bytes(graph), options, providers=["CPUExecutionProvider"])

    def __call__(self, lr: Array) -> Array:
        if self._session is None:
            raise EngineError("this onnx runner is closed")
        check_input(self._graph, lr)
        try:
            sr: Array = self._session.run(["sr"], {"lr": np.ascontiguousarray(lr)})[0]
        except RuntimeError as error:  # onnxruntime's own exceptions are all RuntimeErrors
            reason = str(error).splitlines()[0]
            raise EngineError(f"{self.name} failed on {lr.shape[2]} x {lr.shape[3]} pixels: {reason}; try a smaller --tile") from error
        return check_output(self.name, lr, sr, self._graph.scale)

    def close(self) -> None:
        """Free the session."""
        self._session = None
