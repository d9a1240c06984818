"""What this machine is, as far as the speed of an engine depends on it, found out in milliseconds: no engine and no driver is loaded.

A measurement (`upres.engines.autotune.choose`) holds while all of this stays as it is; so a new driver, another engine's wheel, or a
container with fewer cores asks for a new one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from upres.engines.runner import threads_or_default

# What must be importable for an engine, and under which names it is distributed.
_MODULES = {"ncnn": ("ncnn",), "torch": ("torch",), "onnx": ("onnx", "onnxruntime"), "openvino": ("openvino", "onnx")}
_DISTRIBUTIONS = {
    "ncnn": ("ncnn",),
    "torch": ("torch",),
    "onnx": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-rocm", "onnxruntime-migraphx"),
    "openvino": ("openvino",),
}
_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}  # PCI


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`gpus` are hints ("nvidia driver 570.86", "intel 0x56a0"): what the system shows without a driver being loaded; () is no GPU.
    `drivers` are the files that say which Vulkan drivers there are. `installed` are the engines of which all that they import is there,
    `engines` name and version of each of their distributions."""

    cpu: str
    cores: int
    memory_gib: int
    gpus: tuple[str, ...]
    drivers: tuple[str, ...]
    system: str
    installed: tuple[str, ...]
    engines: tuple[str, ...]
    upres: str

    def has_gpu(self, vendor: str = "") -> bool:
        """Whether a GPU (of "nvidia", "amd", "intel", "apple") may be there."""
        return any(gpu.startswith(vendor) for gpu in self.gpus)

    def as_json(self) -> dict[str, object]:
        """The fields, as JSON has them."""
        return asdict(self)


@cache
def this_machine() -> Fingerprint:
    """Asked once a process."""
    return Fingerprint(
        cpu=_cpu(),
        cores=threads_or_default(0),
        memory_gib=_memory_gib(),
        gpus=_gpus(),
        drivers=_vulkan_drivers(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        installed=tuple(engine for engine in _MODULES if is_installed(engine)),
        engines=tuple(f"{name} {found}" for names in _DISTRIBUTIONS.values() for name in names if (found := _version(name)) is not None),
        upres=_version("upres") or "unknown",
    )


def is_busy(sample_s: float = 0.25, root: Path = Path("/")) -> bool:
    """Whether other programs keep our cores busy at this moment, which a speed measured now would tell of.

    Linux counts the time of each core: busy is less than half of ours idle during `sample_s`. macOS knows the load of the last minute
    only, and Windows says nothing.
    """
    before = _idle_of_cores(root)
    if not before:
        return hasattr(os, "getloadavg") and os.getloadavg()[0] > threads_or_default(0)
    time.sleep(sample_s)
    after = _idle_of_cores(root)
    idle, total = (sum(after[core][k] - times[k] for core, times in before.items() if core in after) for k in (0, 1))
    return idle < 0.5 * total


def _idle_of_cores(root: Path) -> dict[int, tuple[int, int]]:
    """Of each core that this process may use: (ticks that it was idle, ticks in all) since the start. proc(5), /proc/stat."""
    ours = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else frozenset[int]()
    found: dict[int, tuple[int, int]] = {}
    for line in _lines(root / "proc/stat"):
        name, *words = line.split()
        core = name.removeprefix("cpu")
        if core.isdecimal() and int(core) in ours and len(words) >= 5 and all(word.isdecimal() for word in words):
            ticks = [int(word) for word in words[:8]]  # what follows, time of guests, is in these already
            found[int(core)] = (ticks[3] + ticks[4], sum(ticks))  # idle, and waiting for a disk
    return found


def is_installed(engine: str) -> bool:
    """Whether all that the engine imports can be found; nothing is imported."""
    return all(find_spec(module) is not None for module in _MODULES[engine])


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    if sys.platform == "linux":
        for line in _lines(Path("/proc/cpuinfo")):
            if line.startswith(("model name", "Model")):  # "Model" is the board, on ARM
                return line.partition(":")[2].strip()
    if sys.platform == "darwin":
        try:
            said = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, timeout=5, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            said = b""
        if said.strip():
            return said.decode(errors="replace").strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    if sys.platform == "win32":
        return 0  # Windows has no sysconf; the CPU's name tells machines apart well enough
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)


def _gpus(root: Path = Path("/")) -> tuple[str, ...]:
    if sys.platform == "darwin":
        return ("apple",) if platform.machine() == "arm64" else ("unknown",)
    found: list[str] = []
    for card in sorted((root / "sys/class/drm").glob("renderD*")):
        vendor, device = ("".join(_lines(card / "device" / name)[:1]).strip() for name in ("vendor", "device"))
        found.append(f"{_VENDORS.get(vendor, vendor or 'unknown')} {device}".strip())
    module = _lines(root / "sys/module/nvidia/version")
    if module or (root / "proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        found.append(f"nvidia driver {module[0].strip()}" if module else "nvidia")
    if (root / "dev/dxg").exists() or sys.platform == "win32":
        found.append("unknown")  # Windows shows its GPUs to a driver's caller only, as does WSL
    return tuple(found)


def _vulkan_drivers() -> tuple[str, ...]:
    """Manifests of Vulkan drivers, with the time at which each was installed: an update of the driver renews them."""
    named = [os.environ[name] for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES") if name in os.environ]
    places = (Path("/usr/share"), Path("/usr/local/share"), Path("/etc"), Path.home() / ".local/share")
    files = [Path(file) for text in named for file in text.split(os.pathsep)]
    files += [file for place in places for file in sorted((place / "vulkan/icd.d").glob("*.json"))]
    return tuple(f"{file.name} {int(file.stat().st_mtime)}" for file in files if file.is_file())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
