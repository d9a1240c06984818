"""Export a graph to ONNX, and open the file in the engines that read ONNX. No torch needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from upres.errors import EngineError
from upres.graph.graph import Graph
from upres.graph.nodes import Array, Node, with_inputs
from upres.system.files import write_atomic

_HALF_MAX = 65504.0  # of float16


class Opened(Protocol):
    """A file opened by an engine: maps (1, c, h, w) to (1, c, h', w'), float32. Raises EngineError."""

    @property
    def name(self) -> str: ...

    def __call__(self, lr: Array) -> Array: ...

    def close(self) -> None: ...


def write_onnx(graph: Graph, path: Path, *, half: bool = False, facts: Mapping[str, str] | None = None) -> None:
    """Write `graph` to `path`: opset 17, input "lr" (1, c, height, width), output "sr", float32 in [0, 1], any height
    and width.

    graph: Written as `graph.simplify()`, which all engines run at least as fast.
    path: The file; nothing is left there on failure.
    half: Weights and activations are float16. Input and output stay float32, so programs need no change.
    facts: The metadata_props of the file.

    Raises EngineError if the onnx package is missing or a weight exceeds float16; OutputError if `path` cannot be
    written.
    """
    from upres.engines.onnx.program import onnx_bytes  # the onnx package is an extra

    write_atomic(path, onnx_bytes(with_plain_names(graph.simplify(), "lr", "sr"), half=half, facts=facts))


def check_range(graph: Graph, lr: Array, threads: int) -> None:
    """Raise EngineError if an activation for the input `lr` (1, c, h, w) exceeds float16.

    Engines on x86 CPUs run a float16 file in float32, which hides the overflow; on a GPU the result would be black or
    green. Does nothing without onnxruntime, since no engine can run the file then either.
    """
    if find_spec("onnxruntime") is None:
        return
    from upres.engines.onnx.runner import largest_between

    largest = largest_between(with_plain_names(graph.simplify(), "lr", "sr"), lr, threads=threads)
    if not largest <= _HALF_MAX:  # NaN fails every comparison
        raise EngineError(
            f"activations of this network reach {largest:.3g}, above the float16 maximum of {_HALF_MAX:.0f}: "
            "they overflow on a GPU. Nothing was written; export without `half`"
        )


def open_onnx(path: Path, threads: int) -> Iterator[tuple[str, Callable[[], Opened] | None]]:
    """(package, function that opens the file) for each engine that reads ONNX; None if it is not installed."""

    def onnxruntime() -> Opened:
        from upres.engines.onnx.opaque import OnnxProgram

        return OnnxProgram(path, threads=threads)

    def openvino() -> Opened:
        from upres.engines.openvino import OpenVinoFile

        return OpenVinoFile(path, threads=threads)

    for package, opened in (("onnxruntime", onnxruntime), ("openvino", openvino)):
        yield package, opened if find_spec(package) is not None else None


def with_plain_names(graph: Graph, input: str, output: str) -> Graph:
    """The same graph with inner values named by node kind and number.

    graph: To rename.
    input, output: Their new names.

    Writers append to names (`.weight`, `_0`), which could collide with names from a foreign file.
    """
    names = {graph.input: input}
    for number, node in enumerate(graph.nodes):
        names[node.output] = output if node.output == graph.output else f"{type(node).__name__.lower()}{number}"
    nodes: list[Node] = [replace(with_inputs(node, names), output=names[node.output]) for node in graph.nodes]
    return Graph.of(nodes, output=output, in_channels=graph.in_channels, family=graph.family, input=input)
