"""Whether an engine must be chosen at all: small jobs begin without a look at the machine, which takes 30 ms."""

from __future__ import annotations

from pathlib import Path

from upres.engines.options import EngineOptions
from upres.graph.graph import Graph
from upres.system.download import cache_folder

WORTH_MACS = 0.5e12  # 5 s of ncnn on two cores (benchmarks/results); measuring takes about as long


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
