"""Working memory of ncnn whose pages are used again at once.

ncnn's own pools keep a block for each size that was asked for, and one pool for values beside one for a layer's work: a
tile of compact-x4 touches twice the memory that is ever in use, and the pages that the kernel must clear for the first
tile took a third of its time (docs/log.md, 2026-12-01). Here both take the first gap that is wide enough, from the
bottom, so that no more pages are touched than were in use at the same time, and little more.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportUntypedBaseClass=false, reportAttributeAccessIssue=false

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from bisect import bisect
from typing import Any

from upres.engines.ncnn.library import ncnn

IN_ARENAS: bool = os.name == "posix"  # elsewhere address space is memory
_PAGE, _BEYOND = 4096, 64  # ncnn's layers may read so many bytes behind a block
# Not MAP_NORESERVE: more than the machine has must be refused here, not end in the kernel killing the process.
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS if os.name == "posix" else 0

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Arena(ncnn.PoolAllocator):
    """An allocator for ncnn. It must outlive the blobs that it gave.

    size: Bytes of address space; pages are memory once they are used. What does not fit, or all where the system gives
        no address space, comes from ncnn's pool, which this is too.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.used_bytes = 0, 0  # most bytes from the bottom that were ever in use
        self._taken: dict[int, int] = {}  # bytes by address
        self._gaps: list[tuple[int, int]] = []  # (address, bytes), never side by side
        self._lock = threading.Lock()  # threads in a layer may ask at once
        if not IN_ARENAS or size < _PAGE:
            return
        try:
            self._memory = mmap.mmap(-1, size, flags=_FLAGS)
        except (OSError, OverflowError):  # address space is limited
            return
        self.size = size
        self._base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._gaps.append((self._base, size))

    def fits(self, size: int) -> bool:
        """Whether one of `size` bytes would be no better."""
        return not self.size or size <= self.size

    def fastMalloc(self, size: int) -> Any:
        """Called by ncnn."""
        wanted = -(-(size + _BEYOND) // _PAGE) * _PAGE
        with self._lock:
            for index, (address, room) in enumerate(self._gaps):
                if room >= wanted:
                    self._gaps[index : index + 1] = [(address + wanted, room - wanted)] if room > wanted else []
                    self._taken[address] = wanted
                    self.used_bytes = max(self.used_bytes, address + wanted - self._base)
                    return _capsule(address, None, None)
        return super().fastMalloc(size)

    def fastFree(self, block: Any) -> None:
        """Called by ncnn, also for what could not be had, which is None."""
        address: int = 0 if block is None else _pointer(block, None)
        with self._lock:
            room = self._taken.pop(address, 0)
            if room:
                index = bisect(self._gaps, (address, 0))
                if index < len(self._gaps) and self._gaps[index][0] == address + room:
                    room += self._gaps.pop(index)[1]
                if index and sum(self._gaps[index - 1]) == address:
                    index -= 1
                    before, more = self._gaps.pop(index)
                    address, room = before, room + more
                self._gaps.insert(index, (address, room))
                return
        super().fastFree(block)
