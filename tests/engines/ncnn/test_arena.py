"""Working memory of ncnn: gaps are used again, values are those of ncnn's pools, and what does not fit is theirs."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.tiny import compact
from upres.engines.ncnn import arena as module
from upres.engines.ncnn.arena import Arena
from upres.engines.ncnn.runner import NcnnRunner

needs_mmap = pytest.mark.skipif(not module.IN_ARENAS, reason="Windows gives no address space without memory")


def address(block: object) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    found: int = pointer(block, None)
    return found


@needs_mmap
def test_blocks_are_apart_and_gaps_are_joined() -> None:
    arena = Arena(1 << 20)
    blocks = [arena.fastMalloc(size) for size in (1, 4096, 100_000, 5)]
    begins = [address(block) for block in blocks]
    assert np.diff(begins).tolist() == [4096, 8192, 102_400]  # pages, with 64 bytes more
    for place in (2, 0, 1):
        arena.fastFree(blocks[place])
    assert address(arena.fastMalloc(114_000)) == begins[0]  # the three are one gap
    assert arena.used_bytes == 4096 + 8192 + 102_400 + 4096
    arena.fastFree(blocks[3])


@needs_mmap
def test_what_does_not_fit_comes_from_the_pool() -> None:
    arena = Arena(8192)
    inside, outside = arena.fastMalloc(4000), arena.fastMalloc(100_000)
    ctypes.memset(address(outside), 7, 100_000)
    assert not address(inside) <= address(outside) < address(inside) + 8192
    for block in (outside, inside):
        arena.fastFree(block)
    assert arena.fits(8192)
    assert not arena.fits(8193)


def test_values_are_those_of_the_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    lr = np.random.default_rng(1).random((1, 3, 40, 56), dtype=np.float32)
    graph = compact(2, width=16)
    found = NcnnRunner(graph, threads=1)(lr)
    monkeypatch.setattr(module.mmap, "mmap", refused)
    runner = NcnnRunner(graph, threads=1)
    np.testing.assert_array_equal(runner(lr), found)
    np.testing.assert_array_equal(runner(lr), found)


def refused(*_: object, **__: object) -> None:
    raise OSError("no address space")


@needs_mmap
def test_a_tile_touches_less_memory_than_is_counted() -> None:
    runner = NcnnRunner(compact(2, width=32, depth=4), threads=2)
    runner.in_one_thread(np.zeros((1, 3, 96, 120), np.float32))
    (arena,) = runner._net._arenas
    counted = runner.memory_factor * runner._graph.activation_bytes_per_pixel * 96 * 120
    assert 0.2 * counted < arena.used_bytes <= counted
