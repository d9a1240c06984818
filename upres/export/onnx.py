"""A graph as an ONNX file for other programs, and that file opened again by the engines that read ONNX. No torch."""

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
    """A file that an engine has opened: (1, c, h, w) to (1, c, h', w'), float32, or an EngineError."""

    @property
    def name(self) -> str: ...

    def __call__(self, lr: Array) -> Array: ...

    def close(self) -> None: ...


def write_onnx(graph: Graph, path: Path, *, half: bool = False, facts: Mapping[str, str] | None = None) -> None:
    """Write `graph` to `path`: opset 17, input "lr" (1, c, height, width), output "sr", float32 in [0,1], any height and width.

    The nodes are those of `graph.simplify()`, which every engine runs at least as fast. half: weights and activations are float16;
    input and output stay float32, so that no program has to know. `facts` become the file's metadata_props. Nothing is left at `path` on
    failure. Raises EngineError where the onnx package is missing or a weight is beyond float16, OutputError where `path` cannot be written.
    """
    from upres.engines.onnx.program import onnx_bytes  # the onnx package is an extra

    write_atomic(path, onnx_bytes(with_plain_names(graph.simplify(), "lr", "sr"), half=half, facts=facts))


def check_range(graph: Graph, lr: Array, threads: int) -> None:
    """Raises EngineError where an activation is beyond float16, for the picture `lr` (1, c, h, w).

    Engines on x86 CPUs run a float16 file in float32 and would not show it; a GPU would, as black or green. Says nothing without
    onnxruntime, and then no engine could have run the file either.
    """
    if find_spec("onnxruntime") is None:
        return
    from upres.engines.onnx.runner import largest_between

    largest = largest_between(with_plain_names(graph.simplify(), "lr", "sr"), lr, threads=threads)
    if not largest <= _HALF_MAX:  # a nan fails every comparison
        raise EngineError(
            f"the activations of this network reach {largest:.3g}, and float16 ends at {_HALF_MAX:.0f}: on a GPU they overflow. "
            "Nothing was written; export it without half"
        )


def open_onnx(path: Path, threads: int) -> Iterator[tuple[str, Callable[[], Opened] | None]]:
    """(package, how to open the file with it) of every engine that reads ONNX; None where the package is not installed."""

    def onnxruntime() -> Opened:
        from upres.engines.onnx.opaque import OnnxProgram

        return OnnxProgram(path, threads=threads)

    def openvino() -> Opened:
        from upres.engines.openvino import OpenVinoFile

        return OpenVinoFile(path, threads=threads)

    for package, opened in (("onnxruntime", onnxruntime), ("openvino", openvino)):
        yield package, opened if find_spec(package) is not None else None


def with_plain_names(graph: Graph, input: str, output: str) -> Graph:
    """The same graph with these names outside, and inside each node's kind and a number.

    Writers add to names (`.weight`, `_0`); what a foreign file called its values could collide with that, a kind and a number cannot.
    """
    names = {graph.input: input}
    for number, node in enumerate(graph.nodes):
        names[node.output] = output if node.output == graph.output else f"{type(node).__name__.lower()}{number}"
    nodes: list[Node] = [replace(with_inputs(node, names), output=names[node.output]) for node in graph.nodes]
    return Graph.of(nodes, output=output, in_channels=graph.in_channels, family=graph.family, input=input)
