"""How much memory there is: free memory of this machine, and of the container around it."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

_UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that can be taken now without swapping: what the system calls available, or less where a container's limit is nearer.

    Linux: MemAvailable of /proc/meminfo, and limit - usage of every cgroup (v2, or v1) from our own up to the root. Windows:
    GlobalMemoryStatusEx. Elsewhere (macOS): half of the physical memory. `root` is where /proc and /sys are looked for.
    """
    free = _meminfo(root)
    if free is None:
        return _elsewhere()
    return max(0, min([free, *_cgroup_rooms(root)]))


def peak_bytes() -> int | None:
    """The most memory that this process ever held; None on Windows, which tells it in another way."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def limit_memory(spare_bytes: int) -> None:
    """Have the system refuse this process more addresses than there is memory now, and `spare_bytes` beyond. Does nothing on Windows."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = available_bytes() + spare_bytes
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def _meminfo(root: Path) -> int | None:
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return None
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _cgroup_rooms(root: Path) -> list[int]:
    """Free bytes inside each memory cgroup that holds this process; no entry for a group without a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    rooms: list[int] = []
    for line in lines:  # hierarchy-ID:controller-list:cgroup-path; version 2 has ID 0 and no list
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            base, limit_name, usage_name, inactive_name = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            limit_name, usage_name, inactive_name = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        else:
            continue
        group = Path(path.lstrip("/"))
        for level in (group, *group.parents):  # Path("").parents is empty, Path("a/b").parents ends with the root, "."
            folder = base / level
            limit, usage = _number(folder / limit_name), _number(folder / usage_name)
            if limit is not None and usage is not None and limit < _UNLIMITED:
                rooms.append(limit - usage + _reclaimable(folder / "memory.stat", inactive_name))
    return rooms


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(path: Path, name: str) -> int:
    """File cache that the kernel gives back before it refuses memory: counted as used by the group, free to us."""
    try:
        text = path.read_text()
    except OSError:
        return 0
    match = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return int(match[1]) if match else 0


def _elsewhere() -> int:
    if sys.platform == "win32":
        return _windows()
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total_physical", ctypes.c_uint64),
        ("available_physical", ctypes.c_uint64),
        ("total_page_file", ctypes.c_uint64),
        ("available_page_file", ctypes.c_uint64),
        ("total_virtual", ctypes.c_uint64),
        ("available_virtual", ctypes.c_uint64),
        ("available_extended_virtual", ctypes.c_uint64),
    )


def _windows() -> int:
    assert sys.platform == "win32"
    status = _MemoryStatus()
    status.length = ctypes.sizeof(_MemoryStatus)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    return int(status.available_physical)
