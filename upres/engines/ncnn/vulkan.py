"""ncnn on a GPU, through Vulkan: which device, its memory, and the order in which things must end.

What ncnn leaves to its callers, each measured with ncnn 1.0.20261020 and tested in `tests/engines/ncnn/test_vulkan.py`:

- A device that is not there is replaced by the CPU without a word: `opened` refuses instead.
- Where device memory is short in the midst of a run, ncnn goes on with what it has: the run ends well and its picture is black, or the
  process crashes. So the memory of a run is reserved before it, where a failure is told (`Gpu.reserve`).
- ncnn takes its Vulkan instance down when the process ends. A thread that still runs a net then, or a net that is freed later, crashes
  the process: an exit handler waits for the run and frees the nets first.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import ncnn  # pyright: ignore[reportMissingImports]

from upres.engines.ncnn.devices import REMEDY, VulkanDevice, list_vulkan_devices, quiet
from upres.errors import EngineError, OutOfMemoryError, UsageError

# No buffer of a device is sure to hold more (the least maxBufferSize and maxMemoryAllocationSize of Vulkan), and ncnn crashes where one
# does not.
MAX_RUN_BYTES = 1 << 30

_running = threading.Lock()  # runs on GPUs go one after the other: a second one would only wait inside of the driver


class _Closable(Protocol):
    def close(self) -> None: ...


_nets: weakref.WeakSet[_Closable] = weakref.WeakSet()
_devices: tuple[VulkanDevice, ...] = ()
_reserved: dict[int, int] = {}  # bytes that the allocator of a device holds for the next run
_ended = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device that was found. `handle` is ncnn's; it lives as long as the process."""

    device: VulkanDevice
    handle: Any

    @property
    def free_bytes(self) -> int:
        """What one run may take: the driver's word of now, and never more than one buffer can be."""
        budget = int(self.handle.get_heap_budget()) << 20
        return min(budget or MAX_RUN_BYTES, MAX_RUN_BYTES)

    def reserve(self, needed_bytes: int, what: str) -> None:
        """Make sure that the next run finds `needed_bytes` of device memory. Raises OutOfMemoryError. Call it while `in_use`.

        ncnn keeps one allocator for a device, and every run takes it up where the last one left it. A block that was taken from it and
        given back stays in it, and the run cuts its values from that.
        """
        index = self.device.index
        if needed_bytes <= _reserved.get(index, 0):
            return
        free = self.free_bytes
        if needed_bytes > free:
            raise OutOfMemoryError(
                f"{what} needs {needed_bytes >> 20} MB on {self.device.name}, where one run may take {free >> 20} MB; "
                "try a smaller `tile_px`"
            )
        allocator = _never_freed(self.handle.acquire_blob_allocator())
        try:
            allocator.clear()  # blocks of smaller runs, which this one would not fit into
            _reserved[index] = 0
            with quiet(hide=b"vkAllocateMemory failed"):
                block = _never_freed(allocator.fastMalloc(needed_bytes))
            if block is None:
                raise OutOfMemoryError(
                    f"{what} needs {needed_bytes >> 20} MB on {self.device.name}, which has less; try a smaller `tile_px`"
                )
            allocator.fastFree(block)
            _reserved[index] = needed_bytes
        finally:
            self.handle.reclaim_blob_allocator(allocator)

    def release(self) -> None:
        """Give the device's memory back, but for the weights of nets. Call it while `in_use`."""
        allocator = _never_freed(self.handle.acquire_blob_allocator())
        allocator.clear()
        self.handle.reclaim_blob_allocator(allocator)
        _reserved.pop(self.device.index, None)


def _never_freed(value: Any) -> Any:
    """What ncnn keeps as its own and frees itself, though Python's object of it believes to be the owner: that object must live on."""
    if value is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
    return value


def opened(device: str) -> Gpu:
    """`device` is "vulkan" (the default GPU: discrete before integrated before software) or "vulkan:N". Raises EngineError without it."""
    global _devices
    name, _, number = device.partition(":")
    if name != "vulkan" or (number and not number.isdecimal()) or device.endswith(":"):
        raise UsageError(f"engine 'ncnn' runs on device cpu, vulkan or vulkan:N; found {device!r}")
    with _running:
        _refuse_after_end()
        if not _devices:
            _devices = list_vulkan_devices()
            atexit.register(_end)
    if not _devices:
        raise EngineError(f"device {device!r}: no Vulkan driver found a device; {REMEDY}")
    for found in _devices:
        if found.index == int(number) if number else found.default:
            handle = ncnn.get_gpu_device(found.index)
            if handle is None:
                raise EngineError(f"device {device!r}: the driver of {found.name} refused to open it; {REMEDY}")
            return Gpu(found, handle)
    there = ", ".join(f"vulkan:{found.index} ({found.name})" for found in _devices)
    raise EngineError(f"device {device!r} is not there; this machine has {there}")


def free_device_bytes(device: str) -> int | None:
    """What one run on `device` may take, None where the driver does not say or the device is the CPU. Raises as `opened`."""
    return opened(device).free_bytes if device.startswith("vulkan") else None


@contextmanager
def in_use(*, even_at_end: bool = False) -> Generator[None]:
    """While a net is made, run or freed. Raises EngineError once the process has begun to end, unless `even_at_end`."""
    with _running:
        if not even_at_end:
            _refuse_after_end()
        yield


def keep_until_end(net: _Closable) -> None:
    """`net.close` is called before Vulkan is taken down, if it is still there."""
    _nets.add(net)


def _refuse_after_end() -> None:
    if _ended:
        raise EngineError("Vulkan was taken down: the program is ending")


def _end() -> None:
    global _ended
    try:
        while not _running.acquire(timeout=0.5):  # a tile that a daemon thread is in the midst of; in short steps, for Ctrl-C on Windows
            pass
    except KeyboardInterrupt:  # asked twice: end at once, without the destructors, which would crash under the run
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
    _ended = True
    _running.release()
    for net in list(_nets):
        net.close()
    ncnn.destroy_gpu_instance()
