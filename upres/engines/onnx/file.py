"""Read and check an ONNX file before a runtime opens it.

It must be a complete ONNX model without tensors in external files (whose paths its author chooses) and without custom
operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from upres.engines.failures import reason_of
from upres.errors import ModelError
from upres.system.packages import import_failure

try:
    import onnx as _onnx
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise import_failure("an ONNX file", "onnx", "onnx", error) from error

_ONNX: Any = _onnx
_MAX_BYTES = 2**31 - 1  # of one protobuf message
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def read_bytes(path: Path) -> bytes:
    """Read an ONNX file. Raises ModelError if it is unreadable or too large for protobuf."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ModelError(f"model file {path}: it has {size:,} bytes; ONNX allows at most {_MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model file {path}: it cannot be read ({error.strerror}); check its path and permissions"
        ) from error


def parse(data: bytes, path: Path) -> Any:
    """Parse and check an ONNX model, without opening other files. Raises ModelError."""
    again = "download or export it again"
    try:
        model = _ONNX.ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError(f"model file {path}: it is truncated or not ONNX ({reason_of(error)}); {again}") from error
    if not model.graph.node:
        raise ModelError(f"model file {path}: it is not ONNX, or has no network; {again}")
    external = (tensor.name for tensor in _tensors(model) if tensor.data_location == _ONNX.TensorProto.EXTERNAL)
    outside = next(external, None)
    if outside is not None:
        raise ModelError(
            f"model file {path}: tensor {outside!r} is in an external file, which upres does not open; save it as one "
            "file with onnx.save(onnx.load(FILE), NEW, save_as_external_data=False)"
        )
    local = {function.domain for function in model.functions}
    foreign = next((node for node in _nodes(model) if node.domain not in _DOMAINS | local), None)
    if foreign is not None:
        raise ModelError(
            f"model file {path}: {foreign.op_type!r} is a custom operator ({foreign.domain!r}), and upres loads no "
            "libraries for these; export it again with standard operators"
        )
    return model


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and its subgraphs (branches, loops)."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)


def _nodes(model: Any) -> Iterator[Any]:
    for holder in (model.graph, *model.functions):
        for graph in _graphs(holder):
            yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
