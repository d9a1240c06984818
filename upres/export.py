"""Graph to other tools' files. ONNX for now."""

from __future__ import annotations

from pathlib import Path

from upres.files import write_atomic
from upres.graph import Graph


def write_onnx(graph: Graph, path: Path) -> None:
    """Write `graph` to `path`: opset 17, input "lr" (1, c, height, width), output "sr", float32 in [0,1], any height and width.

    Nothing is left at `path` on failure. Raises EngineError where the onnx package is missing, OutputError where `path` cannot be written.
    """
    from upres.engines.onnx_program import onnx_bytes  # the onnx package is an extra

    write_atomic(path, onnx_bytes(graph))
