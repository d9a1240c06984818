"""Which words of other programs mean that memory was short.

The messages are theirs, from their sources and their users' reports.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from upres.engines.failures import failure, is_short_of_memory, reason_of
from upres.errors import OutOfMemoryError

SHORT = [
    MemoryError(),
    RuntimeError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB of which 12.56 MiB is "
        "free."
    ),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 17.58 GB, other allocations: 160.00 MB, max allowed: 18.13 GB)."
    ),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
        "allocate 7 B"
    ),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 7 B"
    ),
    RuntimeError("std::bad_alloc"),
    RuntimeError("bad allocation"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ValueError(
        "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 1073741824"
    ),
    ValueError("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);"),
    ValueError("887A0005 ... 8007000E Not enough memory resources are available to complete this operation."),
    RuntimeError(
        "Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:257:\nFailed to allocate 1073741824 bytes of "
        "memory"
    ),
    RuntimeError(
        "[GPU] Exceeded max size of memory object allocation: requested 8589934592 bytes, but max alloc size is "
        "4294967296 bytes"
    ),
    RuntimeError("[GPU] CL_MEM_OBJECT_ALLOCATION_FAILURE"),
]
OTHER = [
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    ValueError("Non-zero status code returned while running Conv node. Name:'c' Status Message: Invalid argument"),
    RuntimeError("The device was lost"),
    TypeError("Trying to convert Double to the MPS backend"),
]


@pytest.mark.parametrize(("errors", "short"), [(SHORT, True), (OTHER, False)])
def test_words(errors: list[Exception], short: bool) -> None:
    lr = np.zeros((1, 3, 4, 5), np.float32)
    for error in errors:
        assert is_short_of_memory(error) is short, error
        told = failure("engine 1.0", lr, error)
        assert isinstance(told, OutOfMemoryError) is short
        assert "4 x 5 pixels" in str(told) and str(told).endswith("; try a smaller tile") and "\n" not in str(told)


def test_the_line_that_tells() -> None:
    assert reason_of(RuntimeError("why\nstack\nstack")) == "why"
    assert reason_of(RuntimeError("\n\n  why  \n")) == "why"
    assert reason_of(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : why")) == "1 : FAIL : why"
    assert reason_of(RuntimeError("Exception from a.cpp:1:\nCheck 'x' failed at b.cpp:2:\nwhy\n\n")) == "why"
    assert (
        reason_of(RuntimeError("node 'c'\nFailed to allocate 7 bytes of memory"))
        == "Failed to allocate 7 bytes of memory"
    )
    assert reason_of(KeyError()) == "KeyError"
    assert len(reason_of(RuntimeError("x" * 5000))) == 300


class Values:
    """What a frame holds."""


def test_the_frames_that_failed_hold_nothing_any_more() -> None:
    kept: list[weakref.ref[Values]] = []

    def run() -> None:
        values = Values()
        kept.append(weakref.ref(values))
        raise MemoryError

    try:
        run()
    except MemoryError as error:
        told = failure("engine", np.zeros((1, 3, 4, 5), np.float32), error)
        gc.collect()
        assert kept[0]() is None and "MemoryError" in str(told)
