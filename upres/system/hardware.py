"""What `upres doctor` tells of the machine: system, processor, memory, graphics cards, the cache folder. Read from files; nothing is run.

Importing this loads the standard library and nothing else: the doctor must speak even where numpy is broken.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upres.system.download import cache_folder
from upres.system.memory import available_bytes

_UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63
_PCI_MAKERS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_PCI_DISPLAY = "0x03"  # the class of display controllers (PCI Code and ID Assignment Specification, class 03h)


@dataclass(frozen=True, slots=True)
class Python:
    version: str
    implementation: str
    executable: str


@dataclass(frozen=True, slots=True)
class System:
    """`name` as its maker calls it ("Debian GNU/Linux 12"), `kind` "linux", "windows" or "macos", `machine` such as "x86_64"."""

    name: str
    kind: str
    release: str
    machine: str
    container: bool


@dataclass(frozen=True, slots=True)
class Processor:
    """`cores` that this process may use; `quota` is how many of them a container grants the time of, None without a limit."""

    model: str
    cores: int
    quota: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. `limit` is that of the container, None without one; `available` already knows it. None where the system does not say."""

    total: int | None
    available: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Cards:
    """Graphics cards by the maker of each, where the system lists them; whether NVIDIA's driver is loaded; devices we may not open."""

    makers: tuple[str, ...]
    nvidia_driver: bool
    locked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """The folder for models and measured choices. `problem` says why it cannot be written, None where it can."""

    path: str
    exists: bool
    bytes: int
    disk_free: int
    problem: str | None


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
        Memory(_total_bytes(root), available_bytes(root), memory_limit(root)),
        cards(root),
        _cache(),
    )


def _cache() -> CacheFolder:
    try:
        return cache(cache_folder())
    except RuntimeError as error:  # of pathlib: this user has no home, as happens in containers
        return CacheFolder("", False, 0, 0, f"{error} Set UPRES_CACHE to a folder")


def _system(root: Path) -> System:
    kind = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    if kind == "linux":
        match = re.search(r'^PRETTY_NAME="?([^"\n]+)', _text(root / "etc/os-release"), re.MULTILINE)
        name = match[1] if match else "Linux"
    elif kind == "macos":
        name = f"macOS {platform.mac_ver()[0]}"
    else:
        name = f"{platform.system()} {platform.version()}"
    inside = (root / ".dockerenv").exists() or (root / "run/.containerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ
    return System(name, kind, platform.release(), platform.machine(), inside)


def processor(root: Path = Path("/")) -> Processor:
    """Model, cores that this process may use, and the container's share."""
    match = re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    model = match[1].strip() if match else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [share for folder in _groups(root, "cpu") if (share := _share(folder)) is not None]
    return Processor(model, cores, min(shares) if shares else None)


def _share(folder: Path) -> float | None:
    """Microseconds of CPU time in each period over the period: `cpu.max` of cgroup v2, or the two files of v1."""
    words = _text(folder / "cpu.max").split()
    if not words:
        words = [_text(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:  # "max", or -1: no limit
        return None
    return int(words[0]) / int(words[1])


def memory_limit(root: Path = Path("/")) -> int | None:
    """The least limit of the memory cgroups that hold this process, in bytes; None where there is none."""
    limits: list[int] = []
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name).strip()
            if text.isdigit() and int(text) < _UNLIMITED:
                limits.append(int(text))
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the cgroups of this process with that controller, from its own up to the root (v2, or v1)."""
    for line in _text(root / "proc/self/cgroup").splitlines():  # hierarchy-ID:controller-list:cgroup-path
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controllers
            base = base if base.is_dir() else root / "sys/fs/cgroup" / controller
        else:
            continue
        group = Path(path.lstrip("/"))
        yield from (base / level for level in (group, *group.parents))


def _total_bytes(root: Path) -> int | None:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if match:
        return int(match[1]) * 1024
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong()
        known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024 if known else None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def cards(root: Path = Path("/")) -> Cards:
    """On Linux from the PCI bus, whatever drivers there are; elsewhere only whether NVIDIA's tools are there."""
    makers: list[str] = []
    for folder in _listed(root / "sys/bus/pci/devices"):
        if _text(folder / "class").startswith(_PCI_DISPLAY):
            maker = _text(folder / "vendor").strip()
            if maker in _PCI_MAKERS:  # others are virtual screens and server consoles
                makers.append(_PCI_MAKERS[maker])
    driver = (root / "proc/driver/nvidia/version").exists() or (sys.platform == "win32" and shutil.which("nvidia-smi") is not None)
    if driver and "NVIDIA" not in makers:
        makers.append("NVIDIA")
    nodes = [path for path in _listed(root / "dev/dri") if path.name.startswith("renderD")]
    locked = tuple(str(path) for path in nodes if not os.access(path, os.R_OK | os.W_OK))
    return Cards(tuple(makers), driver, locked)


def cache(folder: Path) -> CacheFolder:
    """Its size, the free disk around it, and whether a file can be made there, or in the folder that would hold it."""
    size = 0
    for inside, _, names in os.walk(folder):  # what may not be looked at is passed over
        for name in names:
            try:
                size += Path(inside, name).lstat().st_size
            except OSError:  # it went away meanwhile
                continue
    there = next(parent for parent in (folder, *folder.absolute().parents) if _visible(parent))
    problem: str | None = None
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"{there} is no folder" if error.errno == errno.ENOTDIR else f"no file can be made in {there}: {reason}"
    return CacheFolder(str(folder), there == folder, size, shutil.disk_usage(there).free, problem)


def _visible(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
