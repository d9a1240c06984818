"""Measure networks on every engine of this machine, for the user; what was measured on a quiet machine is remembered.

Unlike `choose`, which measures when a job needs it, this measures now, whatever is known already.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from upres.engines.autotune import cache
from upres.engines.autotune.cache import Choice, Question
from upres.engines.autotune.choose import Measure, candidates, default_candidate, fastest, probe_side
from upres.engines.autotune.fingerprint import Fingerprint, is_busy, this_machine
from upres.engines.autotune.race import BUDGET_S, Candidate, Measured, race
from upres.engines.options import EngineOptions
from upres.engines.runner import threads_or_default
from upres.errors import UsageError
from upres.graph.graph import Graph
from upres.graph.serialize import digest, structure

LIMIT_S = 110.0  # for all networks
_LEAST_S = 5.0  # left for a network, or it is not begun
_PICTURE_PX = 512 * 512  # pictures from this size on are measured with the largest affordable side
# Counts until its parent is gone.
_COUNTING = "import os; parent = os.getppid()\nwhile os.getppid() == parent: sum(range(200_000))"


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One network on all engines.

    model: Its name.
    side: Of the measured picture, in LR pixels.
    scale: Of the network.
    fastest: The engine to take; None if none ran.
    measured: Each engine's result.
    kept: `engine="auto"` takes the fastest from now on.
    """

    model: str
    side: int
    scale: int
    fastest: Candidate | None
    measured: tuple[Measured, ...]
    kept: bool

    def megapixels_per_second(self, result: Measured) -> float | None:
        """Megapixels of the result that an engine makes in a second."""
        return None if not result.run_s else (self.side * self.scale) ** 2 / 1e6 / result.run_s


@dataclass(frozen=True, slots=True)
class Bench:
    """All rows, and what they hold for.

    machine: This machine.
    threads: Of an engine.
    busy: Processes that counted beside, started for this.
    disturbed: Other programs used the cores before the measurement began.
    rows: One for each network.
    left_out: Networks for which no time was left.
    seconds: Taken in all.
    """

    machine: Fingerprint
    threads: int
    busy: int
    disturbed: bool
    rows: tuple[BenchRow, ...]
    left_out: tuple[str, ...]
    seconds: float


def bench(
    networks: Sequence[tuple[str, Graph]],
    options: EngineOptions,
    *,
    busy: int = 0,
    limit_s: float = LIMIT_S,
    measure: Measure = race,
    machine: Fingerprint | None = None,
    tell: Callable[[str], None] = lambda name: None,
) -> Bench:
    """Measure each network with all engines that `options` allow, in turns, each in a process of its own.

    networks: (name, network).
    options: Engine, device, precision and threads; "auto" is everything that is there.
    busy: Processes that only count and run beside; what is measured then is not kept.
    limit_s: No network is begun when less than a few seconds of it are left.
    measure, machine: For tests.
    tell: Called with the name of each network before it is measured.

    Raises `UsageError` for a negative `busy`, `EngineError` if no engine for the device is installed.
    """
    if busy < 0:
        raise UsageError(f"`busy` must be at least 0, got {busy}")
    machine = machine or this_machine()
    begun = time.monotonic()
    disturbed = is_busy()
    threads = threads_or_default(options.threads)
    default = default_candidate(machine, options.device, options.precision)
    found = [one for one in candidates(machine, options.device, options.precision) if one != default]
    entrants = [one for one in (default, *found) if options.engine in ("auto", one.engine)]
    if not entrants:  # torch on the CPU, which is never chosen by itself
        entrants = [replace(default, engine=options.engine)]
    keep = not busy and not disturbed and options.engine == "auto"
    rows: list[BenchRow] = []
    left_out: list[str] = []
    with _busy(busy), cache.measuring_alone():
        for name, graph in networks:
            room = limit_s - (time.monotonic() - begun)
            if room < _LEAST_S:
                left_out.append(name)
                continue
            tell(name)
            side = probe_side(graph.macs_per_pixel, _PICTURE_PX)
            described = structure(graph)
            measured = measure(entrants, described, side=side, threads=threads, budget_s=min(BUDGET_S, room))
            ran = any(result.run_s is not None for result in measured)
            best = fastest(measured, default) if ran else None
            if best is not None and keep:
                question = Question(digest(described), side, threads, options.device, options.precision)
                now = datetime.now(UTC).isoformat(timespec="seconds")
                cache.remember(machine, Choice(question, graph.family, graph.macs_per_pixel, best, measured, now))
            rows.append(BenchRow(name, side, graph.scale, best, measured, keep and best is not None))
    return Bench(machine, threads, busy, disturbed, tuple(rows), tuple(left_out), time.monotonic() - begun)


@contextmanager
def _busy(count: int) -> Generator[None]:
    """`count` processes that only count, at our own priority."""
    others = [subprocess.Popen([sys.executable, "-c", _COUNTING]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
