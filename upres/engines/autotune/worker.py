"""The child process of `race`: measures how fast one engine runs a network.

The first line of standard input is the request, as JSON: the network's structure (weights are random), engine, device,
precision, threads, side of the picture. Each further line asks for one run. The answers (`system.child.tell`) are
{"load_s"} after the first run, {"run_s"} after each run, {"peak_bytes"} at the end, or {"error"}. A broken driver
crashes or hangs this process, which `race` notices.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, TextIO

from upres.engines.registry import open_graph
from upres.engines.sample_picture import sample
from upres.errors import UpresError
from upres.graph.serialize import with_random_weights
from upres.system.child import tell
from upres.system.memory import peak_bytes


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer until the requests end. An error of an engine is an answer; any other ends the process."""
    asked: dict[str, Any] = json.loads(requests.readline())
    start = time.perf_counter()
    try:
        graph = with_random_weights(asked["structure"])
        options = {name: asked[name] for name in ("engine", "threads", "device", "precision")}
        runner = open_graph(graph, exact=False, **options)
        side = -(-asked["side"] // graph.alignment) * graph.alignment
        picture = sample(3, side, side)[:, [channel % 3 for channel in range(graph.in_channels)]]
        runner(picture)
        tell(answers, load_s=time.perf_counter() - start)
        for _ in requests:
            start = time.perf_counter()
            runner(picture)
            tell(answers, run_s=time.perf_counter() - start)
        runner.close()
    except (UpresError, MemoryError) as error:
        tell(answers, error=str(error) or "not enough memory")
        return
    tell(answers, peak_bytes=peak_bytes())


def main(arguments: list[str]) -> None:
    """The child process. Takes no arguments."""
    serve(sys.stdin, sys.stdout)
