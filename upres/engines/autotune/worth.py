"""Whether an engine must be chosen at all: small jobs begin without a look at the machine, which takes 30 ms."""

from __future__ import annotations

import platform
from pathlib import Path

from upres.engines.options import EngineOptions
from upres.graph.graph import Graph
from upres.graph.nodes import Concat, Conv
from upres.system.download import cache_folder
from upres.system.packages import missing_modules

WORTH_MACS = 0.5e12  # 5 s of ncnn on two cores (benchmarks/results); measuring takes about as long


# What runs before anything is measured. With compact-x4, 32 wide, a picture of 512 px took ONNX Runtime 0.77 of ncnn's
# time (whole processes, AVX2; AMX 0.6); stacks 64 wide are as fast in ncnn, RRDB-23 takes ONNX Runtime 0.66 to 0.7 of
# ncnn's time on three processors (benchmarks/results). To load them takes as long as so many multiply-adds.
_NARROW = 48
_LOADING_MACS, _DENSE_LOADING_MACS = 15e9, 100e9


def likely(graph: Graph, options: EngineOptions) -> str:
    """The engine that is probably the fastest on the CPU: ncnn, or on x86 "onnx" for much work of a narrow network, and
    for dense blocks, of which too large a picture would need memory or tiles that ncnn does without.
    """
    asked_for = options.exact or options.precision not in ("auto", "fp32") or options.device not in ("auto", "cpu")
    work = 0.0 if options.expected_px is None else options.expected_px * graph.macs_per_pixel
    if asked_for or work < _LOADING_MACS or platform.machine().lower() not in ("x86_64", "amd64"):
        return "ncnn"
    widest = max((node.weight.shape[1] for node in graph.nodes if isinstance(node, Conv)), default=0)
    dense = any(isinstance(node, Concat) for node in graph.nodes) and _DENSE_LOADING_MACS <= work < WORTH_MACS
    return "ncnn" if (widest > _NARROW and not dense) or missing_modules("onnx") else "onnx"


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
