"""This machine: system, processor, memory, GPUs, cache folder; one table for doctor, engines and benchmarks.

Nothing here loads an engine or a driver, or needs numpy: the doctor must work where numpy is broken.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from upres.system.cores import core_quota, cores
from upres.system.download import cache_folder
from upres.system.kernel_files import listed, text_of
from upres.system.memory import Memory as Memory
from upres.system.memory import memory

_PCI_MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_PCI_DISPLAY = "0x03"  # the class of display controllers (PCI Code and ID Assignment Specification, class 03h)


@dataclass(frozen=True, slots=True)
class Python:
    version: str
    implementation: str
    executable: str


@dataclass(frozen=True, slots=True)
class System:
    """The operating system."""

    name: str  # such as "Debian GNU/Linux 12"
    kind: str  # "linux", "windows" or "macos"
    release: str
    machine: str  # such as "x86_64"
    container: bool


@dataclass(frozen=True, slots=True)
class Processor:
    """The CPU."""

    model: str
    cores: int  # that this process may use
    quota: float | None  # of how many cores a container grants the time; None without a limit

    def __str__(self) -> str:
        return f"{self.model}, {self.cores} cores"


@dataclass(frozen=True, slots=True)
class Cards:
    """The GPUs."""

    makers: tuple[str, ...]  # of each, where the system lists them
    nvidia_driver: bool  # whether it is loaded
    locked: tuple[str, ...]  # devices that this user has no permission to open


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """The folder for models and measured choices."""

    path: str
    exists: bool
    bytes: int
    disk_free: int
    problem: str | None  # why it is not writable


@dataclass(frozen=True, slots=True)
class Machine:
    python: Python
    system: System
    processor: Processor
    memory: Memory
    cards: Cards
    cache: CacheFolder


def look(root: Path = Path("/")) -> Machine:
    """All of it. `root` is where /proc, /sys and /dev are looked for."""
    return Machine(
        Python(platform.python_version(), platform.python_implementation(), sys.executable),
        _system(root),
        processor(root),
        memory(root),
        cards(root),
        _cache(),
    )


def _cache() -> CacheFolder:
    try:
        return cache(cache_folder())
    except (
        ImportError,
        RuntimeError,
    ) as error:  # platformdirs is broken, or this user has no home, as happens in containers
        return CacheFolder("", False, 0, 0, f"{str(error).rstrip('.')}. Set UPRES_CACHE to a folder")


def _system(root: Path) -> System:
    kind = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    if kind == "linux":
        match = re.search(r'^PRETTY_NAME="?([^"\n]+)', text_of(root / "etc/os-release"), re.MULTILINE)
        name = match[1] if match else "Linux"
    elif kind == "macos":
        name = f"macOS {platform.mac_ver()[0]}"
    else:
        name = f"{platform.system()} {platform.version()}"
    inside = (
        (root / ".dockerenv").exists()
        or (root / "run/.containerenv").exists()
        or "KUBERNETES_SERVICE_HOST" in os.environ
    )
    return System(name, kind, platform.release(), platform.machine(), inside)


def processor(root: Path = Path("/")) -> Processor:
    """The CPU, with the container's share of it."""
    return Processor(_processor_model(root), cores(), core_quota(root))


def _processor_model(root: Path) -> str:
    match = re.search(
        r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text_of(root / "proc/cpuinfo"), re.MULTILINE
    )  # "Model" on ARM
    if match:
        return match[1].strip()
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            said = (
                subprocess.run(command, capture_output=True, timeout=5, check=False)
                .stdout.decode(errors="replace")
                .strip()
            )
        except (OSError, subprocess.TimeoutExpired):
            said = ""
        if said:
            return said
    return platform.processor() or platform.machine()


def cards(root: Path = Path("/")) -> Cards:
    """On Linux from the PCI bus, whatever the drivers; elsewhere only whether NVIDIA's tools are installed."""
    makers: list[str] = []
    for folder in listed(root / "sys/bus/pci/devices"):
        if text_of(folder / "class").startswith(_PCI_DISPLAY):
            maker = text_of(folder / "vendor").strip()
            if maker in _PCI_MAKERS:  # others are virtual screens and server consoles
                makers.append(_PCI_MAKERS[maker])
    driver = (root / "proc/driver/nvidia/version").exists() or (
        sys.platform == "win32" and shutil.which("nvidia-smi") is not None
    )
    if driver and "NVIDIA" not in makers:
        makers.append("NVIDIA")
    nodes = [path for path in listed(root / "dev/dri") if path.name.startswith("renderD")]
    locked = tuple(str(path) for path in nodes if not os.access(path, os.R_OK | os.W_OK))
    return Cards(tuple(makers), driver, locked)


def gpus(root: Path = Path("/")) -> tuple[str, ...]:
    """GPUs with a driver, as hints: "intel 0x56a0", "nvidia driver 570.86", "apple", "unknown"."""
    if sys.platform == "darwin":
        return ("apple",) if platform.machine() == "arm64" else ("unknown",)
    found: list[str] = []
    for card in sorted((root / "sys/class/drm").glob("renderD*")):
        maker, model = (text_of(card / "device" / name).strip() for name in ("vendor", "device"))
        found.append(f"{_PCI_MAKERS.get(maker, maker or 'unknown').lower()} {model}".strip())
    version = text_of(root / "sys/module/nvidia/version").strip()
    if version or (root / "proc/driver/nvidia").exists() or shutil.which("nvidia-smi"):
        found.append(f"nvidia driver {version}" if version else "nvidia")
    if (root / "dev/dxg").exists() or sys.platform == "win32":
        found.append("unknown")  # Windows and WSL show GPUs only to callers of a driver
    return tuple(found)


def cache(folder: Path) -> CacheFolder:
    """Its size, the free disk space, and whether a file can be created there, or in the folder that would hold it."""
    size = 0
    for inside, _, names in os.walk(folder):  # folders without permission are skipped
        for name in names:
            try:
                size += Path(inside, name).lstat().st_size
            except OSError:  # deleted meanwhile
                continue
    there = next(parent for parent in (folder, *folder.absolute().parents) if _visible(parent))
    problem: str | None = None
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        problem = (
            f"{there} is not a folder" if error.errno == errno.ENOTDIR else f"cannot create a file in {there}: {reason}"
        )
    return CacheFolder(str(folder), there == folder, size, shutil.disk_usage(there).free, problem)


def _visible(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
