"""How fast an engine runs a network, measured in a process of its own: `python -m upres.engines.autotune.worker`.

The first line of standard input says what to run, as JSON: the network's structure (its weights are made up), engine, device, precision,
threads, side of the picture. Each line after it asks for one run. Each gets one line of JSON: {"load_s"} when the network is loaded and
has run once, {"run_s"} for each run, {"peak_bytes"} at the end, or {"error"}. What a broken driver does, a crash or a hang, it does here,
and `upres.engines.autotune.race`, the parent, tells it from the silence.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any, TextIO

from upres.engines.registry import open_graph
from upres.engines.sample_picture import sample
from upres.errors import UpresError
from upres.graph.serialize import with_random_weights


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer until the requests end. What an engine refuses is an answer; everything else ends the process."""

    def say(**words: object) -> None:
        answers.write(json.dumps(words) + "\n")
        answers.flush()

    asked: dict[str, Any] = json.loads(requests.readline())
    start = time.perf_counter()
    try:
        graph = with_random_weights(asked["structure"])
        options = {name: asked[name] for name in ("engine", "threads", "device", "precision")}
        runner = open_graph(graph, exact=False, **options)
        side = -(-asked["side"] // graph.alignment) * graph.alignment
        picture = sample(3, side, side)[:, [channel % 3 for channel in range(graph.in_channels)]]
        runner(picture)
        say(load_s=time.perf_counter() - start)
        for _ in requests:
            start = time.perf_counter()
            runner(picture)
            say(run_s=time.perf_counter() - start)
        runner.close()
    except (UpresError, MemoryError) as error:
        say(error=str(error) or "it takes more memory than there is")
        return
    say(peak_bytes=_peak_bytes())


def _peak_bytes() -> int | None:
    """Of this process, all its life; None on Windows, which tells it in another way."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    """The program. Answers go to what standard output was; engines and drivers that print there print on standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
