"""What a torch pickle may hold: the names that it may use, and the inert values of ours that stand for what it says.

The rebuild functions and their arguments are those of `torch/_utils.py`; the storages those of `torch/storage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard, final

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
OPAQUE = frozenset(
    {
        ("torch", "device"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
        ("_codecs", "encode"),
    }
)
TORCH_UTILS = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")


@final
class PickledDict(dict[object, object]):
    """A dict or OrderedDict of the file."""

    __slots__ = ()


@final
class PickledList(list[object]):
    """A list of the file."""

    __slots__ = ()


@final
class PickledTuple(tuple[object, ...]):
    """A tuple of the file."""

    __slots__ = ()


@final
class Opaque:
    """Something harmless that we do not need, such as a device or a numpy scalar."""


@final
@dataclass(frozen=True, slots=True)
class Global:
    """An allowed name of the file, standing for itself."""

    module: str
    name: str


@final
@dataclass(frozen=True, slots=True)
class StorageType:
    """A class of storages: the dtype of its elements."""

    dtype: str


@final
@dataclass(frozen=True, slots=True)
class Storage:
    """Elements `start` to `start + numel` of the stored numbers `key`, which are `root_numel`."""

    key: str
    dtype: str
    start: int
    numel: int
    root_numel: int


@final
@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage: offset and strides count elements of `dtype`. Nothing of it has been checked against the storage."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


Key = str | int | float | bool | bytes | None  # what a dict of the file may have as key: hashed without looking into anything
KEY_BOUND = 2**53


def is_key(value: object) -> TypeGuard[Key]:
    """Whether a dict of the file may have this key. Python hashes integers modulo 2^61 - 1: large ones could be made to collide at will."""
    return isinstance(value, Key) and not (isinstance(value, int) and abs(value) >= KEY_BOUND)


def kind(value: object) -> str:
    """What a value is, in words for a message."""
    match value:
        case Global(module=module, name=name):
            return f"{module}.{name}"
        case PickledDict():
            return "a dict"
        case PickledList():
            return "a list"
        case PickledTuple():
            return "a tuple"
        case _:
            return f"a {type(value).__name__}"
