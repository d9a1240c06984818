"""Numbers as model files store them: the dtypes that can be read, and their conversion to arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError

# Every float becomes float32; bfloat16, which numpy lacks, is the upper half of a float32.
DTYPES: dict[str, np.dtype[np.generic]] = {
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int16": np.dtype("<i2"),
    "int8": np.dtype("i1"),
    "uint64": np.dtype("<u8"),
    "uint32": np.dtype("<u4"),
    "uint16": np.dtype("<u2"),
    "uint8": np.dtype("u1"),
    "bool": np.dtype("?"),
}

MAX_NAME = 500  # characters
MAX_DIMENSIONS = 8  # a convolution has 4
MAX_ELEMENTS = 2**31  # also the bound on what a shape with a zero in it may claim
BYTES_PER_FILE_BYTE = 1.1  # tensors may take this much of the size of their file: nothing honest unpacks to more


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that is read, for messages and limits."""

    name: str
    size: int

    def refuse(
        self, found: str, *, remedy: str = "Download it again, or export it again with the program that made it"
    ) -> ModelError:
        """The error `model file NAME: FOUND. REMEDY`."""
        return ModelError(f"model file {self.name}: {found}. {remedy}")

    @property
    def budget(self) -> int:
        """Bytes that the tensors, or the unpacked entries, of this file may take."""
        return int(self.size * BYTES_PER_FILE_BYTE)


def count(shape: Sequence[int], origin: Origin, name: str) -> int:
    """Number of elements of a tensor.

    Raises ModelError for negative, too many or absurd dimensions, also where the product is 0.
    """
    if (
        len(shape) > MAX_DIMENSIONS
        or any(size < 0 for size in shape)
        or math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS
    ):
        listed = ", ".join(str(size) if abs(size) < 10**19 else "a huge number" for size in shape[:MAX_DIMENSIONS])
        raise origin.refuse(
            f"tensor {name!r} claims the shape ({listed}); expected at most {MAX_DIMENSIONS} dimensions and "
            f"{MAX_ELEMENTS:,} elements"
        )
    return math.prod(shape)


def decode(stored: NDArray[np.generic], dtype: str, origin: Origin, name: str) -> NDArray[np.generic]:
    """A fresh C-contiguous array of what the file stores: floats as float32, integers and bool as they are.

    `stored` has the numpy dtype `DTYPES[dtype]`, any strides. Raises ModelError where a number is nan, infinite, or
    beyond float32.
    """
    if dtype == "bool":
        return np.array(stored.view(np.uint8) != 0, order="C")  # a byte other than 0 and 1 is no bool to numpy
    if dtype == "bfloat16":
        values = np.asarray(stored.astype(np.uint32, order="C") << np.uint32(16)).view(np.float32)
    elif dtype.startswith("float"):
        with np.errstate(over="ignore", invalid="ignore"):  # the check below tells
            values = stored.astype(np.float32, order="C")
    else:
        return np.array(stored, order="C")
    finite = np.isfinite(values)
    if not finite.all():
        bad = values.size - int(np.count_nonzero(finite))
        raise origin.refuse(
            f"tensor {name!r} has {bad:,} of {values.size:,} numbers that are not finite float32 (nan or infinite)"
        )
    return values


def check_name(name: str, origin: Origin) -> None:
    """Raises ModelError for the name of a tensor that no message could hold."""
    if len(name) > MAX_NAME:
        raise origin.refuse(
            f"the name of a tensor has {len(name):,} characters ({name[:40]!r}...); expected at most {MAX_NAME}"
        )
