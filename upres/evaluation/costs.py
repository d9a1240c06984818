"""What a model costs: its time and memory while it runs, its parameters and multiply-adds."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from upres.upscaling.upscaler import Upscaler

_PROCESS = Path("/proc/self")


@dataclass(slots=True)
class Costs:
    """Time and memory of the pictures that a model enlarged.

    seconds: Of all pictures; the first also loads the engine's kernels.
    megapixels: Of all results.
    bytes_per_megapixel: The largest growth of the process in one picture, per megapixel of its result; None where
        the system does not tell (only Linux does).
    """

    seconds: float = 0.0
    megapixels: float = 0.0
    bytes_per_megapixel: float | None = None

    @property
    def seconds_per_megapixel(self) -> float | None:
        """Per megapixel of results; None before the first."""
        return self.seconds / self.megapixels if self.megapixels else None

    @contextmanager
    def measure(self, pixels: int) -> Generator[None]:
        """Add the work of the `with` block, whose result has `pixels` pixels; nothing if it fails."""
        before = _reset_peak()
        begin = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begin
        self.megapixels += pixels / 1e6
        if before is not None and (peak := _status("VmHWM")) is not None:
            grown = max(0, peak - before) / (pixels / 1e6)
            self.bytes_per_megapixel = max(grown, self.bytes_per_megapixel or 0.0)


def share_memory(sets: Iterable[Mapping[str, Costs]]) -> None:
    """Give each model its largest memory of all sets that one process measured: what it took for the first set it
    keeps, so that it does not grow for the next.
    """
    listed = list(sets)
    for name in {name for costs in listed for name in costs}:
        alike = [costs[name] for costs in listed if name in costs]
        most = max((one.bytes_per_megapixel for one in alike if one.bytes_per_megapixel is not None), default=None)
        for one in alike:
            one.bytes_per_megapixel = most


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What does not depend on pictures.

    sha256: Of the model's files.
    parameters: Of all networks of a chain.
    macs_per_pixel: Multiply-adds for a pixel of the result.
    """

    sha256: tuple[str, ...]
    parameters: int
    macs_per_pixel: float


def facts_of(upscaler: Upscaler, sha256: tuple[str, ...]) -> ModelFacts:
    """The facts of an opened model."""
    macs, size = 0.0, 1
    for network in upscaler.networks:
        macs += network.graph.macs_per_pixel * size * size  # per pixel of LR
        size *= network.graph.scale
    parameters = sum(network.graph.parameters for network in upscaler.networks)
    return ModelFacts(sha256, parameters, macs / (size * size))


def _reset_peak() -> int | None:
    """Have the kernel count peak memory anew (proc(5), clear_refs); returns the memory now, None where it cannot."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:  # a kernel without CONFIG_PROC_PAGE_MONITOR
        return None
    return _status("VmRSS")


def _status(field: str) -> int | None:
    match = re.search(rf"^{field}:\s+(\d+) kB", (_PROCESS / "status").read_text(), re.MULTILINE)
    return None if match is None else int(match[1]) * 1024
