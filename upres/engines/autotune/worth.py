"""Whether an engine must be chosen at all: small jobs begin without a look at the machine, which takes 30 ms."""

from __future__ import annotations

import platform
from pathlib import Path

from upres.engines.options import EngineOptions
from upres.graph.graph import Graph
from upres.graph.nodes import Conv
from upres.system.download import cache_folder
from upres.system.packages import missing_modules

WORTH_MACS = 0.5e12  # 5 s of ncnn on two cores (benchmarks/results); measuring takes about as long


# What runs before anything is measured. With compact-x4, 32 wide, a picture of 512 px took ONNX Runtime 0.77 of ncnn's
# time (whole processes, AVX2; AMX 0.6); networks 64 wide are faster in ncnn (benchmarks/results). To load it takes
# as long as this many multiply-adds.
_NARROW = 48
_LOADING_MACS = 15e9


def likely(graph: Graph, options: EngineOptions) -> str:
    """The engine that is probably the fastest on the CPU: ncnn, or "onnx" for much work of a narrow network on x86."""
    asked_for = options.exact or options.precision not in ("auto", "fp32") or options.device not in ("auto", "cpu")
    much = options.expected_px is not None and options.expected_px * graph.macs_per_pixel >= _LOADING_MACS
    if asked_for or not much or platform.machine().lower() not in ("x86_64", "amd64"):
        return "ncnn"
    widest = max((node.weight.shape[1] for node in graph.nodes if isinstance(node, Conv)), default=0)
    return "ncnn" if widest > _NARROW or missing_modules("onnx") else "onnx"


def choices_file() -> Path:
    """The file of all choices."""
    return cache_folder() / "engines.json"


def is_worth_measuring(graph: Graph, options: EngineOptions) -> bool:
    """Whether the job takes longer than measuring."""
    return options.expected_px is not None and options.expected_px * graph.macs_per_pixel >= WORTH_MACS


def is_settled(graph: Graph, options: EngineOptions) -> bool:
    """Whether ncnn on the CPU runs whatever the machine is: nothing was measured yet, nor is it worth it now."""
    if options.device not in ("auto", "cpu") or is_worth_measuring(graph, options):
        return False
    return not choices_file().exists()
