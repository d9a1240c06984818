"""An ncnn program loaded on a device, for graphs and for ncnn files.

`ncnn.Mat(array)` borrows the array's memory without a reference, so freeing the array early gives noise or a crash;
`NcnnNet` clones.
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
_SHORT_OF_MEMORY = -100  # returned by ncnn's layers if an allocation fails

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


class Chunks(ncnn.DataReader):
    """Feeds weights to ncnn, which copies them.

    `left` is the number of bytes not yet read.
    """

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
    """An ncnn program with its weights, ready to run. Not thread-safe.

    Args:
        text: The program (.param).
        chunks: Its weights, in order.
        threads: On the CPU; 0 is one per available core.
        exact: Turn off Winograd.
        device: "cpu" (also "auto"), "vulkan" or "vulkan:N".
        precision: "fp32", or "fp16" or "bf16" if the device has it.
        sgemm: Allow convolutions as matrix products.
        refusal: The error to raise if ncnn rejects the program.

    Raises:
        EngineError: The device is missing.
        OutOfMemoryError: The weights do not fit on the device.
        UsageError: The device or the precision is not supported.
    """

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
            self.notes = (f"{self.device} is {self.gpu.device.name}, a software driver; device 'cpu' is faster",)

    def _set_precision(self, precision: str) -> Precision:
        """Set the precision of activations, or raise: ncnn silently ignores what it does not support."""
        if precision not in ("fp32", "fp16", "bf16"):
            raise UsageError(f"precision must be fp32, fp16 or bf16; got {precision!r}")
        if self.gpu is not None:
            has = {"fp32": True, "fp16": self.gpu.device.fp16, "bf16": self.gpu.device.bf16}[precision]
            if not has:
                raise UsageError(f"{self.gpu.device.name} ({self.device}) has no {precision}; use precision fp32")
        elif precision != "fp32" and not _cpu_keeps(precision):
            raise UsageError(f"engine 'ncnn' has no {precision} on this CPU ({platform.machine()}); use precision fp32")
        _set_halves(self._net.opt, precision)
        return precision

    def _load(self, text: str, reader: Chunks, refusal: UpresError) -> None:
        from upres.engines.ncnn.devices import quiet

        said = bytearray()
        with quiet(hide=b"vkAllocateMemory failed", hidden=said) if self.gpu is not None else nullcontext():
            taken = self._net.load_param_mem(text) == 0 and self._net.load_model(reader) == 0 and not reader.left
        if said:
            raise OutOfMemoryError(f"the weights of this network do not fit on {self.device}; use device 'cpu'")
        if not taken:
            raise refusal
        if self.gpu is not None and not self._net.opt.use_vulkan_compute:
            raise EngineError(f"{NAME} loaded the network on the CPU instead of {self.device}; use device 'cpu'")

    def _held(self) -> AbstractContextManager[None]:
        if self.gpu is None:
            return nullcontext()
        from upres.engines.ncnn.vulkan import in_use

        return in_use()

    def __call__(self, lr: Array, source: str, result: str, *, needed_bytes: int = 0) -> Array:
        """Run the program.

        Args:
            lr: float32 (c, h, w).
            source: Name of the input blob.
            result: Name of the output blob.
            needed_bytes: Device memory to reserve.

        Returns:
            float32 (c', h', w').

        Raises:
            EngineError: ncnn fails, or the net is closed.
            OutOfMemoryError: Memory is short.
        """
        if self._net is None:
            raise EngineError("this ncnn runner is closed")
        size = f"{lr.shape[1]} x {lr.shape[2]} pixels"
        with self._held():
            if self.gpu is not None:
                self.gpu.reserve(needed_bytes, size)
            failed, sr = self._run(np.ascontiguousarray(lr), source, result)
        if failed == _SHORT_OF_MEMORY or (failed == 0 and sr is None):  # layers without a check return 0 and no value
            self._renew_pools()
            raise OutOfMemoryError(f"{NAME} ran out of memory on {self.device} for {size}; try a smaller tile")
        if sr is None or sr.ndim != 3:
            raise EngineError(
                f"{NAME} failed on {self.device} (code {failed}) for {size}; try a smaller tile or another engine"
            )
        if self.gpu is not None and not sr.any() and lr.any():
            # A failed allocation (see `vulkan.py`), should one happen despite the reservation.
            raise OutOfMemoryError(f"{NAME} returned only black on {self.device} for {size}; try a smaller tile")
        return sr

    def _run(self, lr: Array, source: str, result: str) -> tuple[int, Array | None]:
        """ncnn's error code (0 is success), and the result.

        No ncnn object may outlive this call: a Mat freed after its pool (kept by a traceback, for example) would crash.
        """
        extractor = self._net.create_extractor()
        mat: Any = None
        try:
            if self.gpu is None:
                # Set on the extractor: the net would allocate its weights from the pools too.
                extractor.set_blob_allocator(self._blobs)
                extractor.set_workspace_allocator(self._workspace)
            extractor.input(source, own_mat(lr))
            failed, mat = extractor.extract(result)
            # A copy, since the blob returns to its pool.
            return failed, None if failed or mat.empty() else np.array(mat, dtype=np.float32)
        finally:
            del mat, extractor

    def _renew_pools(self) -> None:
        """Free pool memory, which smaller tiles would not reuse. `quiet`: pools complain of failed allocations."""
        from upres.engines.ncnn.devices import quiet

        with quiet():
            self._blobs, self._workspace = ncnn.PoolAllocator(), ncnn.PoolAllocator()

    def shapes(self, lr: Array, source: str, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(channels, area) of the blobs `names` in a run on `lr` (c, h, w); blobs that fail are omitted."""
        extractor = self._net.create_extractor()
        extractor.set_light_mode(False)  # keep all blobs
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
    """A copy of `lr` (c, h, w) as an ncnn Mat that owns its memory.

    Mat(array) borrows numpy's memory without a reference: an in-place layer would modify the caller's array, or crash.
    The array needs a name even while it is cloned, since `Mat(make()).clone()` copies memory that is already freed.
    """
    borrowed = np.ascontiguousarray(lr, dtype=np.float32)
    mat = ncnn.Mat(borrowed).clone()
    del borrowed
    return mat


@cache
def _cpu_keeps(precision: str) -> bool:
    """Whether ncnn stores activations in this half precision on this CPU, by a test: unsupported options are ignored.

    Seen: x86 supports bfloat16, not float16; ARM is said to support both.
    """
    net: Any = ncnn.Net()
    _set_halves(net.opt, precision)
    program = "7767517\n2 2\nInput input 0 1 a\nConvolution conv 1 1 a b 0=4 1=1 6=16\n"
    fine = np.full((4, 8, 8), 1 + 2**-12, np.float32)  # rounds to 1 in either half precision
    weights = Chunks([np.zeros(1, np.float32), np.eye(4, dtype=np.float32)])
    if net.load_param_mem(program) != 0 or net.load_model(weights) != 0:
        return False
    extractor = net.create_extractor()
    extractor.input("a", own_mat(fine))
    failed, mat = extractor.extract("b")
    return failed == 0 and bool(np.all(np.array(mat) == 1))


def _set_halves(options: Any, precision: str) -> None:
    """Turn on the options of one half precision, or of none for "fp32"."""
    of = {"fp16": ("fp16_packed", "fp16_storage", "fp16_arithmetic"), "bf16": ("bf16_packed", "bf16_storage")}
    for kind, names in of.items():
        for name in names:
            if hasattr(options, f"use_{name}"):  # options differ between versions of ncnn
                setattr(options, f"use_{name}", precision == kind)
