"""What both ncnn engines share: a program loaded on a device, with the options that device and precision want, and one run of it.

`ncnn.Mat(array)` borrows the array's memory without holding it: an array that is freed too early gives noise or a crash. `NcnnNet` clones.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import ncnn  # pyright: ignore[reportMissingImports]
import numpy as np

from upres.engines.runner import Precision, threads_or_default
from upres.errors import EngineError, OutOfMemoryError, UpresError, UsageError
from upres.graph.nodes import Array

if TYPE_CHECKING:
    from upres.engines.ncnn.vulkan import Gpu

NAME = f"ncnn {ncnn.__version__}"
_SHORT_OF_MEMORY = -100  # what ncnn's layers return where a value could not be allocated

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


class Chunks(ncnn.DataReader):
    """Hands the weights to ncnn, which copies them: nothing of ours has to outlive the loading."""

    def __init__(self, chunks: list[Array]) -> None:
        super().__init__()
        self._parts = iter(chunks)
        self._part = np.zeros(0, np.uint8)
        self.left = sum(chunk.nbytes for chunk in chunks)

    def read(self, buffer: Any, size: int) -> int:
        target: int = _capsule_pointer(buffer, None)
        done = 0
        while done < size and self.left:
            if not self._part.size:
                self._part = np.ascontiguousarray(next(self._parts)).reshape(-1).view(np.uint8)
            part = self._part[: size - done]
            ctypes.memmove(target + done, part.ctypes.data, part.size)
            self._part = self._part[part.size :]
            done += part.size
            self.left -= part.size
        return done


class NcnnNet:
    """An ncnn program with its weights, ready to run. Not safe to call from two threads at once."""

    def __init__(
        self,
        text: str,
        chunks: list[Array],
        *,
        threads: int,
        exact: bool,
        device: str = "auto",
        precision: str = "fp32",
        sgemm: bool = True,
        refusal: UpresError,
    ) -> None:
        """exact: without Winograd. sgemm: with convolutions as matrix products. refusal: raised where ncnn does not take the program.

        Raises UsageError for a device or a precision that is not to be had, EngineError where Vulkan is missing.
        """
        self.gpu: Gpu | None = None
        self.device = "cpu"
        self.notes: tuple[str, ...] = ()
        self._blobs = ncnn.PoolAllocator()
        self._workspace = ncnn.PoolAllocator()
        self._net: Any = ncnn.Net()
        options = self._net.opt
        options.num_threads = threads_or_default(threads)
        options.lightmode = True
        options.use_vulkan_compute = False
        options.use_winograd_convolution = not exact
        options.use_sgemm_convolution = sgemm
        if device not in ("auto", "cpu"):
            self._open_gpu(device)
        self.precision: Precision = self._set_precision(precision)
        with self._held():
            self._load(text, Chunks(chunks), refusal)

    def _open_gpu(self, device: str) -> None:
        from upres.engines.ncnn.vulkan import keep_until_end, opened

        self.gpu = opened(device)
        self.device = f"vulkan:{self.gpu.device.index}"
        self._net.opt.use_vulkan_compute = True
        self._net.set_vulkan_device(self.gpu.device.index)
        keep_until_end(self)
        if self.gpu.device.kind == "cpu":
            self.notes = (f"{self.device} is {self.gpu.device.name}, a software driver: `device='cpu'` is faster",)

    def _set_precision(self, precision: str) -> Precision:
        """Exactly one kind of values between layers, or a refusal: ncnn would drop what it lacks without a word."""
        if precision not in ("fp32", "fp16", "bf16"):
            raise UsageError(f"precision must be fp32, fp16 or bf16; found {precision!r}")
        if self.gpu is not None:
            has = {"fp32": True, "fp16": self.gpu.device.fp16, "bf16": self.gpu.device.bf16}[precision]
            if not has:
                raise UsageError(f"{self.gpu.device.name} (vulkan:{self.gpu.device.index}) has no {precision}; use `precision='fp32'`")
        elif precision != "fp32" and not _cpu_keeps(precision):
            raise UsageError(f"engine 'ncnn' has no {precision} on this CPU ({platform.machine()}); use `precision='fp32'`")
        _set_halves(self._net.opt, precision)
        return precision

    def _load(self, text: str, reader: Chunks, refusal: UpresError) -> None:
        from upres.engines.ncnn.devices import quiet

        said = bytearray()
        with quiet(hide=b"vkAllocateMemory failed", hidden=said) if self.gpu is not None else nullcontext():
            taken = self._net.load_param_mem(text) == 0 and self._net.load_model(reader) == 0 and not reader.left
        if said:
            raise OutOfMemoryError(f"{self.device} has too little memory for the weights of this network; use `device='cpu'`")
        if not taken:
            raise refusal
        if self.gpu is not None and not self._net.opt.use_vulkan_compute:
            raise EngineError(f"{NAME} put the network on the CPU instead of {self.device}; use `device='cpu'`")

    def _held(self) -> AbstractContextManager[None]:
        if self.gpu is None:
            return nullcontext()
        from upres.engines.ncnn.vulkan import in_use

        return in_use()

    def __call__(self, lr: Array, source: str, result: str, *, needed_bytes: int = 0) -> Array:
        """`lr` (c, h, w) float32 as blob `source` to what blob `result` then is, (c, h, w) float32 of our own memory.

        needed_bytes: of device memory. Raises OutOfMemoryError and EngineError.
        """
        if self._net is None:
            raise EngineError("this ncnn runner is closed")
        size = f"{lr.shape[1]} x {lr.shape[2]} pixels"
        with self._held():
            if self.gpu is not None:
                self.gpu.reserve(needed_bytes, size)
            failed, sr = self._run(np.ascontiguousarray(lr), source, result)
        if failed == _SHORT_OF_MEMORY or (failed == 0 and sr is None):  # a layer that does not look returns 0, and nothing
            self._renew_pools()
            raise OutOfMemoryError(f"{NAME} was short of memory on {self.device} for {size}; try a smaller `tile_px`")
        if sr is None or sr.ndim != 3:
            raise EngineError(f"{NAME} failed on {self.device} (code {failed}) on {size}; try a smaller `tile_px` or another engine")
        if self.gpu is not None and not sr.any() and lr.any():
            # What ncnn makes of memory that it did not get (see `vulkan.py`), should one have slipped through the reservation.
            raise OutOfMemoryError(f"{NAME} gave nothing but black on {self.device} for {size}; try a smaller `tile_px`")
        return sr

    def _run(self, lr: Array, source: str, result: str) -> tuple[int, Array | None]:
        """ncnn's error code, 0 where all is well, and the result.

        Nothing of ncnn's may outlive this call: a value of the pools that is freed after them (kept by a traceback, say) would crash.
        """
        extractor = self._net.create_extractor()
        mat: Any = None
        try:
            if self.gpu is None:
                # The pools are given to the extractor, not to the net, whose weights would then come from them too.
                extractor.set_blob_allocator(self._blobs)
                extractor.set_workspace_allocator(self._workspace)
            extractor.input(source, own_mat(lr))
            failed, mat = extractor.extract(result)
            return failed, None if failed or mat.empty() else np.array(mat, dtype=np.float32)  # a copy: the blob goes back to its pool
        finally:
            del mat, extractor

    def _renew_pools(self) -> None:
        """Give the pools' memory back: smaller tiles would not use it. A pool counts memory that it did not get as lent, and complains."""
        from upres.engines.ncnn.devices import quiet

        with quiet():
            self._blobs, self._workspace = ncnn.PoolAllocator(), ncnn.PoolAllocator()

    def shapes(self, lr: Array, source: str, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(channels, area) of each of the blobs `names` in a run of `lr` (c, h, w); without those that fail."""
        extractor = self._net.create_extractor()
        extractor.set_light_mode(False)  # no value is thrown away
        extractor.input(source, own_mat(lr))
        found: dict[str, tuple[int, int]] = {}
        for name in names:
            failed, mat = extractor.extract(name)
            if not failed:
                found[name] = (max(1, mat.c), max(1, mat.w) * max(1, mat.h) * max(1, mat.d))
        return found

    def close(self) -> None:
        """Free weights and pools."""
        if self._net is None:
            return
        if self.gpu is None:
            self._net.clear()
        else:
            self._close_on_gpu(self.gpu)
        self._net = None
        self._blobs.clear()
        self._workspace.clear()

    def _close_on_gpu(self, gpu: Gpu) -> None:
        from upres.engines.ncnn.vulkan import in_use

        with in_use(even_at_end=True):
            self._net.clear()
            gpu.release()


def own_mat(lr: Array) -> Any:
    """ncnn's own copy of `lr` (c, h, w), aligned and counted.

    Mat(array) borrows numpy's memory, without a count of its users: a layer that works in place would change the caller's picture, or
    crash. Even for the copy the array must have a name: `Mat(made_here()).clone()` copies memory that is free already. Three channels
    of LR pixels cost nothing beside the features.
    """
    borrowed = np.ascontiguousarray(lr, dtype=np.float32)
    mat = ncnn.Mat(borrowed).clone()
    del borrowed
    return mat


@cache
def _cpu_keeps(precision: str) -> bool:
    """Whether ncnn keeps values in half precision on this CPU. It has options for it everywhere, and heeds them where it can: measured.

    Seen: x86 keeps bfloat16 and takes no notice of float16; ARM is said to have both.
    """
    net: Any = ncnn.Net()
    _set_halves(net.opt, precision)
    program = "7767517\n2 2\nInput input 0 1 a\nConvolution conv 1 1 a b 0=4 1=1 6=16\n"
    fine = np.full((4, 8, 8), 1 + 2**-12, np.float32)  # 1 in either half precision
    if net.load_param_mem(program) != 0 or net.load_model(Chunks([np.zeros(1, np.float32), np.eye(4, dtype=np.float32)])) != 0:
        return False
    extractor = net.create_extractor()
    extractor.input("a", own_mat(fine))
    failed, mat = extractor.extract("b")
    return failed == 0 and bool(np.all(np.array(mat) == 1))


def _set_halves(options: Any, precision: str) -> None:
    """Switch on the options of one half precision, or of none."""
    for kind, names in (("fp16", ("fp16_packed", "fp16_storage", "fp16_arithmetic")), ("bf16", ("bf16_packed", "bf16_storage"))):
        for name in names:
            if hasattr(options, f"use_{name}"):  # options come and go with ncnn's versions
                setattr(options, f"use_{name}", precision == kind)
