"""Engines by name. Importing this package imports no engine: `load` does."""

from __future__ import annotations

from typing import Any

from upres.engines.autotune.worth import is_settled, likely
from upres.engines.fork import begin_engine
from upres.engines.options import EngineOptions
from upres.engines.precision import open_checked
from upres.engines.registry import NotedRunner
from upres.engines.runner import Runner
from upres.errors import EngineError, UsageError
from upres.graph.opaque import Network, OpaqueModel


def load(graph: Network, options: EngineOptions | None = None, **keywords: Any) -> Runner:
    """Make `graph` ready to run.

    options: how; keywords replace single fields of it (`engine="onnx"`).

    Where the engine that "auto" chose cannot be opened, ncnn on the CPU is, and `notes` say so. Raises UsageError for a
    value out of range, EngineError where the engine is not installed or cannot take the graph, ForkedError in a process
    that was forked after an engine was opened.
    """
    asked = (options or EngineOptions()).replace(**keywords)
    begin_engine()
    if isinstance(graph, OpaqueModel):
        return _as_it_is(graph, asked)
    if asked.engine != "auto":
        return open_checked(graph, asked)
    if is_settled(graph, asked):
        chosen, engine, device = likely(graph, asked), likely(graph, asked), "cpu"
    else:
        from upres.engines.autotune import choose

        chosen = choose.choose(graph, asked)
        engine, device = chosen.engine, chosen.device
    try:
        return open_checked(graph, asked.replace(engine=engine, device=device))
    except EngineError as error:
        if asked.device not in ("auto", "cpu") or (engine, device) == ("ncnn", "cpu"):
            raise
        runner = open_checked(graph, asked.replace(engine="ncnn", device="cpu"))
        return NotedRunner(
            runner, (f"{chosen} is the fastest engine here but failed, so ncnn ran on the CPU: {error}",)
        )


def _as_it_is(model: OpaqueModel, asked: EngineOptions) -> Runner:
    """A file that is a program of its own has one engine."""
    from upres.engines.opaque.runner import FileRunner

    own = {"ncnn": "ncnn", "onnx": "onnx", "spandrel": "torch"}[model.kind]
    if asked.engine not in ("auto", own):
        raise UsageError(
            f"{model.path} is of an unknown architecture and runs on {own} alone: leave `engine={asked.engine!r}` out"
        )
    if asked.device not in ("auto", "cpu") or asked.precision not in ("auto", "fp32"):
        raise UsageError(
            f"{model.path} is of an unknown architecture and runs on the CPU in float32 alone: "
            f"leave `device={asked.device!r}` and `precision={asked.precision!r}` out"
        )
    return FileRunner(model, threads=asked.threads, exact=asked.exact)
