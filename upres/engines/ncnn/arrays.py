"""Arrays that ncnn gets: weights and pictures.

`ncnn.Mat(array)` borrows the array's memory without a reference, so freeing the array early gives noise or a crash.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from upres.engines.ncnn.library import ncnn
from upres.graph.nodes import Array

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


def own_mat(lr: Array) -> Any:
    """A copy of `lr` (c, h, w) as an ncnn Mat that owns its memory.

    Mat(array) borrows numpy's memory without a reference: an in-place layer would modify the caller's array, or crash.
    The array needs a name even while it is cloned, since `Mat(make()).clone()` copies memory that is already freed.
    """
    borrowed = np.ascontiguousarray(lr, dtype=np.float32)
    mat = ncnn.Mat(borrowed).clone()
    del borrowed
    return mat
