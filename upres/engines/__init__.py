"""Engines by name. Importing this package imports no engine: `load` does."""

from __future__ import annotations

from collections.abc import Callable

from upres.engines.base import Runner
from upres.engines.tail import TailRunner
from upres.errors import UsageError
from upres.graph import Graph
from upres.probed_model import Network, UnknownModel

ENGINES = ("auto", "ncnn", "torch", "onnx")


def load(
    graph: Network,
    *,
    engine: str = "auto",
    threads: int = 0,
    exact: bool = False,
    device: str = "auto",
    precision: str = "auto",
    expected_px: int | None = None,
) -> Runner:
    """Make `graph` ready to run.

    engine: "auto" is ncnn, the fastest on CPUs (`benchmarks/results`). threads: 0 is one a core. exact: tiles equal the untiled picture to
    the bit (ncnn then runs without Winograd, at about half the speed; torch is always exact on the CPU). device: torch only.
    Raises UsageError for an unknown engine or a wrong argument, EngineError where the engine is not installed or cannot take the graph.
    """
    if threads < 0:
        raise UsageError(f"threads must be 0 (one a core) or more; found {threads}")
    if engine not in ENGINES:
        raise UsageError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if device not in ("auto", "cpu") and engine != "torch":
        raise UsageError(f"device {device!r} needs engine 'torch'; engine {engine!r} runs on the CPU")
    if isinstance(graph, UnknownModel):
        return _as_it_is(graph, engine, threads, exact)
    if engine == "torch":
        from upres.engines.torch import TorchRunner

        return _in_parts(graph, lambda part: TorchRunner(part, threads=threads, exact=exact, device="cpu" if device == "auto" else device))
    if engine == "onnx":
        from upres.engines.onnx import OnnxRunner

        return _in_parts(graph, lambda part: OnnxRunner(part, threads=threads, exact=exact))
    from upres.engines.ncnn import NcnnRunner

    return _in_parts(graph, lambda part: NcnnRunner(part, threads=threads, exact=exact))


def _as_it_is(model: UnknownModel, engine: str, threads: int, exact: bool) -> Runner:
    """A file that is a program of its own has one engine."""
    from upres.engines.file_runner import FileRunner

    own = {"ncnn": "ncnn", "onnx": "onnx", "spandrel": "torch"}[model.kind]
    if engine not in ("auto", own):
        raise UsageError(f"{model.path} is of unknown make and is run as it is, by engine {own!r} alone: leave --engine {engine} out")
    return FileRunner(model, threads=threads, exact=exact)


def _in_parts(graph: Graph, make: Callable[[Graph], Runner]) -> Runner:
    """The graph simplified, in two parts where that saves memory."""
    simple = graph.simplify()
    parts = simple.split_at_tail()
    if parts is None or parts[1].activation_bytes_per_pixel <= parts[0].activation_bytes_per_pixel:
        return make(simple)
    return TailRunner(simple, *parts, make)
