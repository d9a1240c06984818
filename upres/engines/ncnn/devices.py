"""Which GPUs ncnn finds through Vulkan. `vulkan_devices()` asks in a process of its own: a driver may hang, or crash whoever loads it.

Importing this module is light: only `list_vulkan_devices` imports ncnn and loads the drivers into this process (`vulkan.py` needs that
anyway, and callers who only wonder use `vulkan_devices`).
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from upres.system.child import tell
from upres.system.subprocesses import python_command, run

REMEDY = (
    "install the driver of the GPU's maker, or on Debian and Ubuntu: sudo apt install libvulkan1 mesa-vulkan-drivers; "
    "without a GPU, `device='cpu'` is the faster choice"
)
Kind = Literal["discrete", "integrated", "virtual", "cpu"]
_KINDS: tuple[Kind, ...] = ("discrete", "integrated", "virtual", "cpu")  # in the order of ncnn's GpuInfo.type()
# What ncnn prints to stderr: about each GPU, a missing loader (libvulkan) or driver, and allocators after memory ran short.
_CHATTER = re.compile(
    rb"\[\d+ .*\]  \S|dlopen failed |load vulkan driver failed|vkCreateInstance failed "
    rb"|.*pool allocator destroyed too early|\(nil\) still in use"
)
_redirecting = threading.Lock()


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """`index` is N in "vulkan:N". kind "cpu" is a software driver (llvmpipe): right, but slower than the CPU."""

    index: int
    name: str
    kind: Kind
    default: bool  # the one that plain "vulkan" is
    fp16: bool  # keeps values in half precision and computes in it
    bf16: bool  # keeps values in bfloat16
    budget_bytes: int | None  # of device memory that this process may use, as the driver says


@contextmanager
def quiet(hide: bytes = b"", hidden: bytearray | None = None) -> Generator[None]:
    """Keep ncnn's lines about drivers, devices and pools off the user's terminal: ncnn has no switch, and prints from C.

    File descriptor 2 is another file meanwhile (some 50 ms at the first use of a GPU, one thread at a time); whatever else was written
    to it, by other threads or by a driver, is written out afterwards. Lines that hold `hide` are not: they are added to `hidden`.
    """
    with _redirecting, tempfile.TemporaryFile() as caught:
        try:
            terminal = os.dup(2)
        except OSError:  # no stderr at all: nothing to keep quiet
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            for line in caught:
                if hide and hide in line:
                    hidden = hidden if hidden is not None else bytearray()
                    hidden += line
                elif not _CHATTER.match(line):
                    os.write(2, line)


def list_vulkan_devices() -> tuple[VulkanDevice, ...]:
    """In this process: () where Vulkan or a device is missing. A bad driver takes the process down: see `vulkan_devices`."""
    import ncnn  # pyright: ignore[reportMissingImports]

    with quiet():
        default = ncnn.get_default_gpu_index() if ncnn.get_gpu_count() else -1
        return tuple(_described(ncnn, index, default) for index in range(ncnn.get_gpu_count()))


def _described(ncnn: Any, index: int, default: int) -> VulkanDevice:
    info = ncnn.get_gpu_info(index)
    # A net that wants every kind of half precision is left with what the device has, which ncnn's Python classes do not tell otherwise.
    net = ncnn.Net()
    wanted = ("vulkan_compute", "fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage")
    for name in wanted:
        if hasattr(net.opt, f"use_{name}"):
            setattr(net.opt, f"use_{name}", True)
    net.set_vulkan_device(index)
    net.load_param_mem("7767517\n1 1\nInput input 0 1 data\n")
    left = {name for name in wanted if getattr(net.opt, f"use_{name}", False)}
    device = ncnn.get_gpu_device(index)
    budget = int(device.get_heap_budget()) << 20 if device is not None else 0
    net.clear()
    return VulkanDevice(
        index=index,
        name=str(info.device_name()),
        kind=_KINDS[info.type()],
        default=index == default,
        fp16={"vulkan_compute", "fp16_storage", "fp16_arithmetic"} <= left,
        bf16={"vulkan_compute", "bf16_storage"} <= left,
        budget_bytes=budget or None,
    )


def vulkan_devices(timeout_s: float = 20.0) -> tuple[tuple[VulkanDevice, ...], str]:
    """The devices, and where there are none the reason, with the remedy: (found, ""), or ((), "no Vulkan driver ...")."""
    try:
        outcome = run(python_command("upres.engines.ncnn.devices"), timeout_s=timeout_s)
    except OSError as error:
        return (), f"Vulkan was not asked for: {sys.executable} did not start ({error.strerror})"
    if outcome.told:  # a driver that crashes as it is unloaded has answered all the same
        found = tuple(VulkanDevice(**fields) for fields in outcome.told[-1]["devices"])
        return found, "" if found else f"no Vulkan driver found a device; {REMEDY}"
    if outcome.timed_out:
        return (), f"the Vulkan driver did not answer within {timeout_s:g} s; update it, or use `device='cpu'`"
    return (), f"the Vulkan driver failed when it was asked for its devices: its process {outcome.ending}; update it"


def main(arguments: list[str]) -> None:
    """What `vulkan_devices` starts: tells of all devices."""
    tell(devices=[asdict(device) for device in list_vulkan_devices()])
