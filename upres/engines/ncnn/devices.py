"""The GPUs that ncnn finds through Vulkan. `vulkan_devices()` asks in a child process: a driver may hang or crash it.

Importing this module is cheap: only `list_vulkan_devices`, for `vulkan.py`, imports ncnn and loads the drivers into
this process.
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
    "install the GPU's driver, on Debian and Ubuntu: sudo apt install libvulkan1 mesa-vulkan-drivers; "
    "without a GPU, `device='cpu'` is faster"
)
Kind = Literal["discrete", "integrated", "virtual", "cpu"]
_KINDS: tuple[Kind, ...] = ("discrete", "integrated", "virtual", "cpu")  # in the order of ncnn's GpuInfo.type()
# What ncnn prints to stderr: each GPU, a missing loader (libvulkan) or driver, and allocators short of memory.
_CHATTER = re.compile(
    rb"\[\d+ .*\]  \S|dlopen failed |load vulkan driver failed|vkCreateInstance failed |no vulkan device"
    rb"|.*pool allocator destroyed too early|\(nil\) still in use"
)
_redirecting = threading.Lock()


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """A GPU, or a software driver."""

    index: int  # N in "vulkan:N"
    name: str
    kind: Kind  # "cpu" is a software driver (llvmpipe): correct, but slower than ncnn on the CPU
    default: bool  # whether plain "vulkan" means it
    fp16: bool  # stores activations and computes in float16
    bf16: bool  # stores activations in bfloat16
    budget_bytes: int | None  # device memory that this process may use, according to the driver


@contextmanager
def quiet(hide: bytes = b"", hidden: bytearray | None = None) -> Generator[None]:
    """Keep ncnn's lines about drivers, devices and pools off the terminal: ncnn has no switch, and prints from C.

    File descriptor 2 is redirected meanwhile (some 50 ms at the first use of a GPU, one thread at a time). What other
    threads or a driver write is passed on afterwards, except lines with `hide`, which are appended to `hidden`.
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
    """In this process, which a bad driver may crash; see `vulkan_devices`. () without Vulkan or without a device."""
    from upres.engines.ncnn.library import ncnn

    with quiet():
        default = ncnn.get_default_gpu_index() if ncnn.get_gpu_count() else -1
        return tuple(_described(ncnn, index, default) for index in range(ncnn.get_gpu_count()))


def _described(ncnn: Any, index: int, default: int) -> VulkanDevice:
    info = ncnn.get_gpu_info(index)
    # A net that asks for every kind of half precision keeps those that the device has; ncnn's Python API has no query.
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
    """(devices, ""), or ((), the reason why there is none, with the remedy)."""
    try:
        outcome = run(python_command("upres.engines.ncnn.devices"), timeout_s=timeout_s)
    except OSError as error:
        return (), f"cannot look for Vulkan devices: {sys.executable} did not start ({error.strerror})"
    if outcome.told:  # a driver that crashes while unloading has answered
        found = tuple(VulkanDevice(**fields) for fields in outcome.told[-1]["devices"])
        return found, "" if found else f"no Vulkan device found; {REMEDY}"
    if outcome.timed_out:
        return (), f"the Vulkan driver did not answer within {timeout_s:g} s; update it, or use `device='cpu'`"
    return (), f"the Vulkan driver failed to list its devices: its process {outcome.ending}; update it"


def present_devices() -> tuple[list[tuple[str, str, str]], str]:
    """([(device, kind, name)], why there is none)."""
    found, reason = vulkan_devices()
    return [
        (f"vulkan:{one.index}", "vulkan-software" if one.kind == "cpu" else "vulkan", one.name) for one in found
    ], reason


def main(arguments: list[str]) -> None:
    """The child process of `vulkan_devices`."""
    tell(devices=[asdict(device) for device in list_vulkan_devices()])
