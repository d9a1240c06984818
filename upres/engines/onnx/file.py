"""An ONNX file, read and checked before any runtime sees it.

It must be a whole ONNX model, without tensors in other files (a path of the author's choosing) and without operators of other makers than
ONNX and Microsoft.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from upres.engines.failures import first_line
from upres.errors import EngineError, ModelError

try:
    import onnx as _onnx
    from google.protobuf.message import DecodeError
except ImportError as error:
    raise EngineError("ONNX files need the onnx package, which is not installed; remedy: pip install 'upres[onnx]'") from error

_ONNX: Any = _onnx
_MAX_BYTES = 2**31 - 1  # of one protobuf message
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


def read_bytes(path: Path) -> bytes:
    """The content of an ONNX file. Raises ModelError for one that is too large for its format, or cannot be read."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ModelError(f"model file {path}: it is {size:,} bytes large; an ONNX file has at most {_MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"model file {path}: it cannot be read ({error.strerror}). Check its path and permissions") from error


def parse(data: bytes, path: Path) -> Any:
    """The ONNX model in `data`, checked; nothing else is read. Raises ModelError."""
    again = "Download it again, or export it again with the program that made it"
    try:
        model = _ONNX.ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError(f"model file {path}: it is cut short or no ONNX file ({first_line(error)}). {again}") from error
    if not model.graph.node:
        raise ModelError(f"model file {path}: it is no ONNX file, or one without a network. {again}")
    outside = next((tensor.name for tensor in _tensors(model) if tensor.data_location == _ONNX.TensorProto.EXTERNAL), None)
    if outside is not None:
        raise ModelError(
            f"model file {path}: its tensor {outside!r} lies in another file, which upres does not open. Save it as one file: "
            "onnx.save(onnx.load(FILE), NEW, save_as_external_data=False)"
        )
    local = {function.domain for function in model.functions}
    foreign = next((node for node in _nodes(model) if node.domain not in _DOMAINS | local), None)
    if foreign is not None:
        raise ModelError(
            f"model file {path}: its operator {foreign.op_type!r} is of {foreign.domain!r}, not of ONNX: it needs a library that "
            "upres does not load. Export it again with standard operators"
        )
    return model


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and those inside its nodes (branches, loops)."""
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
