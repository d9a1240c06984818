"""Everything about this machine that the speed of engines depends on, in milliseconds: no engine or driver is loaded.

A measurement (`upres.engines.autotune.choose`) is valid until any of it changes: a driver, an engine, the cores.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from upres.system.cores import core_numbers, cores
from upres.system.hardware import gpus, processor
from upres.system.kernel_files import text_of
from upres.system.memory import total_bytes
from upres.system.packages import ENGINES, builds_of, missing_modules, version_of


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a measurement depends on."""

    cpu: str
    cores: int
    memory_gib: int
    gpus: tuple[str, ...]  # hints, such as "nvidia driver 570.86" or "intel 0x56a0"
    drivers: tuple[str, ...]  # manifests of Vulkan drivers
    system: str
    installed: tuple[str, ...]  # engines that can be imported
    engines: tuple[str, ...]  # name and version of each of their packages
    upres: str

    def has_gpu(self, vendor: str = "") -> bool:
        """Whether a GPU (of "nvidia", "amd", "intel", "apple") may be there."""
        return any(gpu.startswith(vendor) for gpu in self.gpus)

    def as_json(self) -> dict[str, object]:
        """The fields, for JSON."""
        return asdict(self)


@cache
def this_machine() -> Fingerprint:
    """Of this machine, examined once per process."""
    engines = [engine for engine in ENGINES if engine != "spandrel"]
    builds = [name for engine in engines for name in builds_of(ENGINES[engine][0])]
    return Fingerprint(
        cpu=processor().model,
        cores=cores(),
        memory_gib=round((total_bytes() or 0) / 2**30),
        gpus=gpus(),
        drivers=_vulkan_drivers(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        installed=tuple(engine for engine in engines if not missing_modules(engine)),
        engines=tuple(f"{name} {found}" for name in builds if (found := version_of(name)) is not None),
        upres=version_of("upres") or "unknown",
    )


def is_busy(sample_s: float = 0.25, root: Path = Path("/")) -> bool:
    """Whether other programs use our cores now, which would distort a measurement.

    On Linux: whether our cores are idle for less than half of `sample_s`. macOS only knows the load of the last minute,
    and Windows says nothing.
    """
    before = _idle_of_cores(root)
    if not before:
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > cores()
    time.sleep(sample_s)
    after = _idle_of_cores(root)
    idle, total = (sum(after[core][k] - times[k] for core, times in before.items() if core in after) for k in (0, 1))
    return idle < 0.5 * total


def _idle_of_cores(root: Path) -> dict[int, tuple[int, int]]:
    """(idle ticks, all ticks) since the start, of each core that this process may use. proc(5), /proc/stat."""
    ours = core_numbers()
    found: dict[int, tuple[int, int]] = {}
    for line in text_of(root / "proc/stat").splitlines():
        name, *words = line.split()
        core = name.removeprefix("cpu")
        if core.isdecimal() and int(core) in ours and len(words) >= 5 and all(word.isdecimal() for word in words):
            ticks = [int(word) for word in words[:8]]  # these include the time of guests, which follows
            found[int(core)] = (ticks[3] + ticks[4], sum(ticks))  # idle, and waiting for a disk
    return found


def _vulkan_drivers() -> tuple[str, ...]:
    """Manifests of Vulkan drivers with their times, which a driver update changes."""
    named = [os.environ[name] for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES") if name in os.environ]
    places = (Path("/usr/share"), Path("/usr/local/share"), Path("/etc"), Path.home() / ".local/share")
    files = [Path(file) for text in named for file in text.split(os.pathsep)]
    files += [file for place in places for file in sorted((place / "vulkan/icd.d").glob("*.json"))]
    return tuple(f"{file.name} {int(file.stat().st_mtime)}" for file in files if file.is_file())
