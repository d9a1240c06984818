"""The memory of this machine, of the container around it, and of this process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from upres.errors import UsageError
from upres.system.kernel_files import cgroups, field_of, number_in
from upres.system.text import words_for_bytes

PROCESS_BYTES = 112 << 20  # of an `upres upscale` without picture and network: Python, numpy, ncnn, libvips (measured)
FREE_SHARE = 0.8  # of the free memory, that one piece of work may take; the rest is left for codecs and other programs
_UNLIMITED = 1 << 60  # cgroup v1 writes "no limit" as a number near 2^63


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes."""

    total: int | None  # installed; None if the system does not say
    available: int  # without swapping, and within a container's limit
    limit: int | None  # of the container


def memory(root: Path = Path("/")) -> Memory:
    """All three, from `root`/proc and `root`/sys on Linux."""
    return Memory(total_bytes(root), available_bytes(root), min((limit for limit, _ in _limits(root)), default=None))


def available_bytes(root: Path = Path("/")) -> int:
    """Memory available now without swapping, or less if a container's limit is lower.

    Linux: MemAvailable of /proc/meminfo, and limit - usage of every cgroup (v2 or v1) from our own up to the root.
    Windows: GlobalMemoryStatusEx. Elsewhere (macOS): half of the physical memory. `root` contains /proc and /sys.
    """
    free = field_of(root / "proc/meminfo", "MemAvailable")
    if free is None:
        return _windows_available() if sys.platform == "win32" else _physical_bytes() // 2
    rooms = (room for _, room in _limits(root) if room is not None)
    return max(0, min([1024 * free, *rooms]))


def usable_bytes() -> int:
    """Memory that one piece of work may take in all, as of now."""
    return int(FREE_SHARE * available_bytes())


def total_bytes(root: Path = Path("/")) -> int | None:
    """Installed memory; None if the system does not say."""
    kilobytes = field_of(root / "proc/meminfo", "MemTotal")
    if kilobytes is not None:
        return 1024 * kilobytes
    return _windows_total() if sys.platform == "win32" else _physical_bytes()


def _limits(root: Path) -> Iterator[tuple[int, int | None]]:
    """(limit, free bytes below it if known) of each memory cgroup of this process with a limit."""
    for version, folder in cgroups(root, "memory"):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == 1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        limit, usage = (number_in(folder / name) for name in names[:2])
        if limit is not None and limit < _UNLIMITED:
            # File cache counts as used by the group; the kernel gives it back before it refuses memory.
            reclaimable = field_of(folder / "memory.stat", names[2]) or 0
            yield limit, None if usage is None else limit - usage + reclaimable


def _physical_bytes() -> int:
    assert sys.platform != "win32"
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int | None:
    """The peak memory of this process; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2) of each
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def of_process(limit_bytes: int) -> int:
    """What a limit on the whole process leaves for pictures and networks. Raises `UsageError` if that is nothing."""
    if limit_bytes <= PROCESS_BYTES:
        raise UsageError(
            f"`memory_bytes` must be more than {words_for_bytes(PROCESS_BYTES)}, which the program itself takes; got "
            f"{words_for_bytes(limit_bytes)}"
        )
    return limit_bytes - PROCESS_BYTES


def limit_memory(spare_bytes: int, most_bytes: int | None = None) -> None:
    """Limit this process's memory. Does nothing on Windows.

    spare_bytes: Its address space may take the memory free now plus this much, for addresses that are never touched.
    most_bytes: Its own writable memory may take this much (Linux only: elsewhere the system does not count it).
    """
    if sys.platform == "win32":
        return
    import resource

    _lower(resource.RLIMIT_AS, available_bytes() + spare_bytes)
    if most_bytes is not None and sys.platform == "linux":
        _lower(resource.RLIMIT_DATA, most_bytes)


def _lower(limit: int, wanted: int) -> None:
    assert sys.platform != "win32"
    import resource

    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


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


def _windows_available() -> int:
    assert sys.platform == "win32"
    status = _MemoryStatus()
    status.length = ctypes.sizeof(_MemoryStatus)
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("GlobalMemoryStatusEx failed")
    return int(status.available_physical)


def _windows_total() -> int | None:
    assert sys.platform == "win32"
    kilobytes = ctypes.c_ulonglong()
    known = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return kilobytes.value * 1024 if known else None
