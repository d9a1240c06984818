"""An ncnn program loaded on a device, for graphs and for ncnn files."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from upres.engines.ncnn.arena import Arena
from upres.engines.ncnn.arrays import Chunks, own_mat
from upres.engines.ncnn.devices import quiet
from upres.engines.ncnn.halves import cpu_keeps, set_halves
from upres.engines.ncnn.library import ncnn
from upres.engines.runner import Precision, threads_or_default
from upres.errors import EngineError, OutOfMemoryError, UpresError, UsageError
from upres.graph.nodes import Array

if TYPE_CHECKING:
    from upres.engines.ncnn.vulkan import Gpu

NAME = f"ncnn {ncnn.__version__}"
_SHORT_OF_MEMORY = -100  # returned by ncnn's layers if an allocation fails
_KEPT_TWICE = 16 << 20  # bytes of weights that are kept both for one thread and for all; Winograd expands them up to 7x


class NcnnNet:
    """An ncnn program with its weights, ready to run.

    ncnn packs weights for the number of threads in a layer, so the program is loaded once for `threads` and, when
    `in_one_thread` is called, once for a single one. With large weights only one of the two is kept.

    Args:
        text: The program (.param).
        chunks: Its weights, in order.
        threads: On the CPU; 0 is one per available core.
        exact: Turn off Winograd.
        device: "cpu" (also "auto"), "vulkan" or "vulkan:N".
        precision: "fp32", or "fp16" or "bf16" if the device has it.
        sgemm: Allow convolutions as matrix products.
        arenas: Memory to share with other programs that do not run at the same time.
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
        arenas: list[Arena] | None = None,
        refusal: UpresError,
    ) -> None:
        self.gpu: Gpu | None = None
        self.device = "cpu"
        self.notes: tuple[str, ...] = ()
        self.threads = threads_or_default(threads)
        self._text, self._chunks, self._refusal = text, chunks, refusal
        self._weight_bytes = sum(chunk.nbytes for chunk in chunks)
        self._winograd, self._sgemm = not exact, sgemm
        self._nets: dict[int, Any] = {}  # by threads in a layer
        self._arenas: list[Arena] = [] if arenas is None else arenas  # those not in use; the last used one last
        self._closed = False
        self._lock = threading.Lock()
        if device not in ("auto", "cpu"):
            self._open_gpu(device)
        self.precision: Precision = self._checked_precision(precision)
        if self.gpu is not None or not self._is_accepted():
            self.load()

    def _open_gpu(self, device: str) -> None:
        from upres.engines.ncnn.vulkan import keep_until_end, opened

        self.gpu = opened(device)
        self.device = f"vulkan:{self.gpu.device.index}"
        keep_until_end(self)
        if self.gpu.device.kind == "cpu":
            self.notes = (f"{self.device} is {self.gpu.device.name}, a software driver; device 'cpu' is faster",)

    def _checked_precision(self, precision: str) -> Precision:
        """The precision of activations, or an error: ncnn silently ignores what it does not support."""
        if precision not in ("fp32", "fp16", "bf16"):
            raise UsageError(f"precision must be fp32, fp16 or bf16; got {precision!r}")
        if self.gpu is not None:
            has = {"fp32": True, "fp16": self.gpu.device.fp16, "bf16": self.gpu.device.bf16}[precision]
            if not has:
                raise UsageError(f"{self.gpu.device.name} ({self.device}) has no {precision}; use precision fp32")
        elif precision != "fp32" and not cpu_keeps(precision):
            raise UsageError(f"engine 'ncnn' has no {precision} on this CPU ({platform.machine()}); use precision fp32")
        return precision

    def _is_accepted(self) -> bool:
        """Whether ncnn can parse the program. Its weights are loaded for the first run, which decides the threads."""
        return self._new(self.threads).load_param_mem(self._text) == 0

    def _new(self, threads: int) -> Any:
        net: Any = ncnn.Net()
        options = net.opt
        options.num_threads = threads
        options.lightmode = True
        options.use_vulkan_compute = self.gpu is not None
        options.use_winograd_convolution = self._winograd
        options.use_sgemm_convolution = self._sgemm
        if self.gpu is not None:
            net.set_vulkan_device(self.gpu.device.index)
        set_halves(options, self.precision)
        return net

    def load(self) -> None:
        """Load the weights now, for all threads, rather than for the first run."""
        with self._held():
            self._ready(self.threads)

    def _ready(self, threads: int) -> Any:
        """The program loaded for `threads` in a layer."""
        with self._lock:
            if self._closed:
                raise EngineError("this ncnn runner is closed")
            if threads not in self._nets:
                if self._weight_bytes > _KEPT_TWICE:
                    self._clear()
                net = self._new(threads)
                self._load(net)
                self._nets[threads] = net
            return self._nets[threads]

    def _load(self, net: Any) -> None:
        said = bytearray()
        reader = Chunks(self._chunks)
        with quiet(hide=b"vkAllocateMemory failed", hidden=said) if self.gpu is not None else nullcontext():
            taken = net.load_param_mem(self._text) == 0 and net.load_model(reader) == 0 and not reader.left
        if said:
            raise OutOfMemoryError(f"the weights of this network do not fit on {self.device}; use device 'cpu'")
        if not taken:
            raise self._refusal
        if self.gpu is not None and not net.opt.use_vulkan_compute:
            raise EngineError(f"{NAME} loaded the network on the CPU instead of {self.device}; use device 'cpu'")

    def _clear(self) -> None:
        """Free all loaded programs; none may be running."""
        for net in self._nets.values():
            net.clear()
        self._nets.clear()

    def _held(self) -> AbstractContextManager[None]:
        if self.gpu is None:
            return nullcontext()
        from upres.engines.ncnn.vulkan import in_use

        return in_use()

    def __call__(self, lr: Array, source: str, result: str, *, needed_bytes: int = 0, alone: bool = False) -> Array:
        """Run the program.

        Args:
            lr: float32 (c, h, w).
            source: Name of the input blob.
            result: Name of the output blob.
            needed_bytes: Memory to reserve, on the CPU address space alone.
            alone: Use one thread, on the CPU. Such calls may run at the same time, but not beside others.

        Returns:
            float32 (c', h', w').

        Raises:
            EngineError: ncnn fails, or the net is closed.
            OutOfMemoryError: Memory is short.
        """
        size = f"{lr.shape[1]} x {lr.shape[2]} pixels"
        with self._held():
            net = self._ready(1 if alone else self.threads)
            if self.gpu is not None:
                self.gpu.reserve(needed_bytes, size)
            arena = self._taken_arena(needed_bytes if self.gpu is None else 0)
            try:
                failed, sr = self._run(net, arena, np.ascontiguousarray(lr), source, result)
            except BaseException:
                self._arenas.append(arena)
                raise
        if failed == _SHORT_OF_MEMORY or (failed == 0 and sr is None):  # layers without a check return 0 and no value
            with quiet():
                del arena  # smaller tiles would not reuse its memory; it complains of failed allocations
            raise OutOfMemoryError(f"{NAME} ran out of memory on {self.device} for {size}; try a smaller tile")
        self._arenas.append(arena)
        if sr is None or sr.ndim != 3:
            raise EngineError(
                f"{NAME} failed on {self.device} (code {failed}) for {size}; try a smaller tile or another engine"
            )
        if self.gpu is not None and not sr.any() and lr.any():
            # A failed allocation (see `vulkan.py`), should one happen despite the reservation.
            raise OutOfMemoryError(f"{NAME} returned only black on {self.device} for {size}; try a smaller tile")
        return sr

    def _run(self, net: Any, arena: Arena, lr: Array, source: str, result: str) -> tuple[int, Array | None]:
        """ncnn's error code (0 is success), and the result.

        No ncnn object may outlive this call: a Mat freed after its arena (kept by a traceback) would crash.
        """
        extractor = net.create_extractor()
        mat: Any = None
        try:
            if self.gpu is None:
                # Set on the extractor: the net would allocate its weights there too.
                extractor.set_blob_allocator(arena)
                extractor.set_workspace_allocator(arena)
            extractor.input(source, own_mat(lr))
            failed, mat = extractor.extract(result)  # other threads run meanwhile
            # A copy, since the blob returns to its arena.
            return failed, None if failed or mat.empty() else np.array(mat, dtype=np.float32)
        finally:
            del mat, extractor

    def _taken_arena(self, needed_bytes: int) -> Arena:
        """The one used last that no running call has and that is large enough, or a new one."""
        with self._lock:
            while self._arenas:
                found = self._arenas.pop()
                if found.fits(needed_bytes):
                    return found
        return Arena(needed_bytes)

    def shapes(self, lr: Array, source: str, names: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(channels, area) of the blobs `names` in a run on `lr` (c, h, w); blobs that fail are omitted."""
        extractor = self._ready(self.threads).create_extractor()
        extractor.set_light_mode(False)  # keep all blobs
        extractor.input(source, own_mat(lr))
        found: dict[str, tuple[int, int]] = {}
        for name in names:
            failed, mat = extractor.extract(name)
            if not failed:
                found[name] = (max(1, mat.c), max(1, mat.w) * max(1, mat.h) * max(1, mat.d))
        return found

    def close(self) -> None:
        """Free weights and working memory."""
        if self._closed:
            return
        self._closed = True
        if self.gpu is None:
            self._clear()
        else:
            self._close_on_gpu(self.gpu)
        self._arenas.clear()

    def _close_on_gpu(self, gpu: Gpu) -> None:
        from upres.engines.ncnn.vulkan import in_use

        with in_use(even_at_end=True):
            self._clear()
            gpu.release()
