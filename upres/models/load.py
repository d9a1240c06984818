"""From a name or a path to a network, whatever kind of file it is: the content decides."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from upres.engines.opaque.cache import probe_once
from upres.errors import ModelError
from upres.graph.architectures import UnknownNetworkError, graph_from_state_dict
from upres.graph.from_ncnn import graph_of
from upres.graph.opaque import Kind, Network
from upres.graph.opaque import OpaqueModel as OpaqueModel
from upres.models import catalog
from upres.weights.ncnn_file import find_pair, read_ncnn
from upres.weights.read import read_weights


def load_network(name_or_path: str) -> Network:
    """The network of a model by name, or of a model file of any kind. Raises ModelError, and what `catalog.resolve` raises.

    A `Graph` wherever the file is known; otherwise an `OpaqueModel`, after a probe of some seconds the first time.
    """
    if isinstance(catalog.find(name_or_path), catalog.ModelCard):
        return catalog.load_graph(name_or_path)
    path = catalog.resolve(name_or_path)
    kind = kind_of(path)
    if kind == "ncnn":
        pair = find_pair(path)
        assert pair is not None  # so `kind_of` has found
        return graph_of(read_ncnn(*pair)) or probe_once(pair, "ncnn")
    if kind == "onnx":
        return probe_once((path,), "onnx")
    try:
        return graph_from_state_dict(read_weights(path))
    except UnknownNetworkError as error:
        if find_spec("spandrel") is None:
            more = "spandrel runs many more: pip install spandrel (or 'upres[spandrel]')"
            raise ModelError(f"model {name_or_path}: {error} {more}") from error
        return probe_once((path,), "spandrel")


def kind_of(path: Path) -> Kind | None:
    """"ncnn" or "onnx" by the file's content, None for all others. Raises ModelError for an ncnn file without its other half."""
    if not path.is_file():
        return None
    if find_pair(path) is not None:
        return "ncnn"
    with path.open("rb") as file:
        start = file.read(64)
    return "onnx" if _looks_like_onnx(start, path) else None


def _looks_like_onnx(start: bytes, path: Path) -> bool:
    """An ONNX file is a protobuf message without a magic number: field 1, the version, is a small number; then comes text or the graph."""
    if start[:1] == b"\x08" and start[1:2] < b"\x40" and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x2a", b"\x32", b"\x3a", b"\x42"):
        return len(start) > 16
    return path.suffix.lower() == ".onnx" and start[:1] in (b"\x3a", b"\x42", b"\x12", b"\x1a")
