"""Where the time of one `upres upscale` goes: engine (loading, running and freeing), codec (reading and writing),
start, and the rest.

    python benchmarks/breakdown.py ARGUMENT...     # those of `upres upscale`; prints one line of JSON on stdout

"start" is the interpreter and all imports up to the parsed command, "rest" is everything else: planning, tiles,
conversions, messages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

SPENT: defaultdict[str, float] = defaultdict(float)


def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            SPENT[kind] += time.perf_counter() - start

    return wrapper


def process_age() -> float:
    """Seconds since this process was started, by the kernel (Linux)."""
    ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])  # noqa: SIM115, PTH123
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    import upres.batch.plan as prepare
    import upres.batch.run as batch
    import upres.engines as engines
    from upres.engines.ncnn.runner import NcnnRunner

    NcnnRunner.__call__ = timed("engine", NcnnRunner.__call__)
    NcnnRunner.close = timed("engine", NcnnRunner.close)
    engines.load = timed("engine", engines.load)
    batch.read_picture = timed("codec", batch.read_picture)
    batch.write_picture = timed("codec", batch.write_picture)
    prepare.read_header = timed("codec", prepare.read_header)
    started = process_age()
    begun = time.perf_counter()
    sys.argv = ["upres", "upscale", *sys.argv[1:]]
    from upres.__main__ import main as run

    code = 0
    try:
        run()
    except SystemExit as ended:
        code = int(ended.code or 0)
    job = time.perf_counter() - begun
    rest = job - SPENT["engine"] - SPENT["codec"]
    print(
        json.dumps(
            {
                "start": started,
                "job": job,
                "engine": SPENT["engine"],
                "codec": SPENT["codec"],
                "rest": rest,
                "code": code,
            }
        )
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
