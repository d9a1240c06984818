"""ncnn on Vulkan: opening devices, reserving device memory, and shutdown.

Pitfalls of ncnn 1.0.20261020, each tested in `tests/engines/ncnn/test_vulkan.py`:

- It silently replaces a missing device by the CPU; `opened` raises instead.
- If device memory runs out during a run, the result is black, without an error, or the process crashes. So memory is
  reserved before a run, where failure is reported (`Gpu.reserve`).
- It destroys its Vulkan instance at process exit. A thread that still runs a net then, or a net freed later, crashes
  the process. An exit handler waits for the run and frees the nets first.
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

from upres.engines.ncnn.devices import REMEDY, VulkanDevice, list_vulkan_devices, quiet
from upres.engines.ncnn.library import ncnn
from upres.errors import EngineError, OutOfMemoryError, UsageError

# The maxBufferSize and maxMemoryAllocationSize that Vulkan guarantees; ncnn crashes on a buffer that exceeds them.
MAX_RUN_BYTES = 1 << 30

_running = threading.Lock()  # runs on GPUs are serialized: a second one would only wait in the driver


class _Closable(Protocol):
    def close(self) -> None: ...


_nets: weakref.WeakSet[_Closable] = weakref.WeakSet()
_devices: tuple[VulkanDevice, ...] = ()
_reserved: dict[int, int] = {}  # bytes that the allocator of each device holds for the next run
_ended = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """An open device. `handle` is ncnn's and lives as long as the process."""

    device: VulkanDevice
    handle: Any

    @property
    def free_bytes(self) -> int:
        """Bytes that one run may use: the driver's current budget, at most the size of one buffer."""
        budget = int(self.handle.get_heap_budget()) << 20
        return min(budget or MAX_RUN_BYTES, MAX_RUN_BYTES)

    def reserve(self, needed_bytes: int, what: str) -> None:
        """Reserve `needed_bytes` of device memory for the next run. Raises OutOfMemoryError. Call it within `in_use`.

        ncnn reuses one allocator per device across runs. A block allocated and freed stays in it, and the next run
        allocates its activations from that block.
        """
        index = self.device.index
        if needed_bytes <= _reserved.get(index, 0):
            return
        free = self.free_bytes
        if needed_bytes > free:
            raise OutOfMemoryError(
                f"{what} needs {needed_bytes >> 20} MB on {self.device.name}, where one run may use {free >> 20} MB; "
                "try a smaller tile"
            )
        allocator = _never_freed(self.handle.acquire_blob_allocator())
        try:
            allocator.clear()  # drop the blocks of smaller runs
            _reserved[index] = 0
            with quiet(hide=b"vkAllocateMemory failed"):
                block = _never_freed(allocator.fastMalloc(needed_bytes))
            if block is None:
                raise OutOfMemoryError(
                    f"{what} needs {needed_bytes >> 20} MB on {self.device.name}, which has less; try a smaller tile"
                )
            allocator.fastFree(block)
            _reserved[index] = needed_bytes
        finally:
            self.handle.reclaim_blob_allocator(allocator)

    def release(self) -> None:
        """Free the device's memory, except the weights of nets. Call it within `in_use`."""
        allocator = _never_freed(self.handle.acquire_blob_allocator())
        allocator.clear()
        self.handle.reclaim_blob_allocator(allocator)
        _reserved.pop(self.device.index, None)


def _never_freed(value: Any) -> Any:
    """Keep a wrapper alive forever: it would free its object, which ncnn owns and frees."""
    if value is not None:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
    return value


def opened(device: str) -> Gpu:
    """Open a Vulkan device.

    Args:
        device: "vulkan" for the default (discrete before integrated before software), or "vulkan:N".

    Raises:
        EngineError: The device or its driver is missing.
        UsageError: `device` has another form.
    """
    global _devices
    name, _, number = device.partition(":")
    if name != "vulkan" or (number and not number.isdecimal()) or device.endswith(":"):
        raise UsageError(f"engine 'ncnn' has devices cpu, vulkan and vulkan:N; got {device!r}")
    with _running:
        _refuse_after_end()
        if not _devices:
            _devices = list_vulkan_devices()
            atexit.register(_end)
    if not _devices:
        raise EngineError(f"device {device!r}: no Vulkan device found; {REMEDY}")
    for found in _devices:
        if found.index == int(number) if number else found.default:
            handle = ncnn.get_gpu_device(found.index)
            if handle is None:
                raise EngineError(f"device {device!r}: the driver cannot open {found.name}; {REMEDY}")
            return Gpu(found, handle)
    present = ", ".join(f"vulkan:{found.index} ({found.name})" for found in _devices)
    raise EngineError(f"device {device!r} does not exist; this machine has {present}")


def free_device_bytes(device: str) -> int | None:
    """Bytes that one run on a Vulkan device may use; None for other devices. Raises as `opened`."""
    return opened(device).free_bytes if device.startswith("vulkan") else None


@contextmanager
def in_use(*, even_at_end: bool = False) -> Generator[None]:
    """Hold while creating, running or freeing a net. Raises EngineError at process exit unless `even_at_end`."""
    with _running:
        if not even_at_end:
            _refuse_after_end()
        yield


def keep_until_end(net: _Closable) -> None:
    """Call `net.close` before Vulkan is shut down, if the net still exists."""
    _nets.add(net)


def _refuse_after_end() -> None:
    if _ended:
        raise EngineError("Vulkan was shut down: the process is exiting")


def _end() -> None:
    global _ended
    try:
        while not _running.acquire(timeout=0.5):  # until a daemon thread's tile is done; a timeout lets Ctrl-C through
            pass
    except KeyboardInterrupt:  # exit at once, without destructors, which would crash during the run
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)
    _ended = True
    _running.release()
    for net in list(_nets):
        net.close()
    ncnn.destroy_gpu_instance()
