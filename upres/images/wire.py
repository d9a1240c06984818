"""Values as JSON and bytes, between a process that decodes and one that trusts it with nothing: no pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np

_TYPES = ("float32", "uint8", "uint16")
_DEEPEST = 8
Buffer = bytes | memoryview


def pack(value: Any, buffers: list[Buffer]) -> Any:
    """`value` for JSON: None, numbers, texts, bytes, arrays, and tuples, dicts and dataclasses of them.

    buffers: Takes the bytes of arrays and byte strings; their places are counted from the first of them.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return {"bytes": [_add(value, buffers), len(value)]}
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(cast("np.ndarray[Any, Any]", value))
        return {"array": [array.dtype.name, array.shape, _add(_bytes_of(array), buffers)]}
    if isinstance(value, tuple | list):
        return {"tuple": [pack(one, buffers) for one in cast("tuple[Any, ...]", value)]}
    if isinstance(value, dict):
        return {"dict": [[key, pack(one, buffers)] for key, one in cast("dict[Any, Any]", value).items()]}
    if is_dataclass(value) and not isinstance(value, type):
        packed = {field.name: pack(getattr(value, field.name), buffers) for field in fields(value) if field.init}
        return {"is": type(value).__name__, "of": packed}
    raise TypeError(f"{type(value).__name__} does not travel between processes")


def _add(buffer: Buffer, buffers: list[Buffer]) -> int:
    at = sum(len(one) for one in buffers)
    buffers.append(buffer)
    return at


def unpack(
    said: Any, take: Callable[[int, memoryview], None], size: int, classes: Mapping[str, type[Any]], depth: int = 0
) -> Any:
    """The value of `pack`, whose JSON may be anything.

    take: Fills a buffer with the bytes from a place on.
    size: Of all bytes together.
    classes: Dataclasses by name, which check their fields.

    Raises ValueError, TypeError or KeyError for anything else.
    """
    if said is None or isinstance(said, bool | int | float | str):
        return said
    if depth > _DEEPEST or not isinstance(said, dict):
        raise ValueError("it is nested too deeply, or of no known kind")
    answer = cast("dict[str, Any]", said)
    if "bytes" in answer:
        at, length = answer["bytes"]
        data = bytearray(_checked(at, length, size))
        take(at, memoryview(data))
        return bytes(data)
    if "array" in answer:
        kind, shape, at = answer["array"]
        if kind not in _TYPES or not all(isinstance(side, int) and side >= 0 for side in shape):
            raise ValueError(f"an array of {kind} {shape}")
        _checked(at, math.prod(shape) * np.dtype(kind).itemsize, size)
        array = np.empty(tuple(shape), kind)
        if array.size:
            take(at, _bytes_of(array))
        return array
    if "tuple" in answer:
        return tuple(unpack(one, take, size, classes, depth + 1) for one in answer["tuple"])
    if "dict" in answer:
        return {key: unpack(one, take, size, classes, depth + 1) for key, one in answer["dict"]}
    given = {name: unpack(one, take, size, classes, depth + 1) for name, one in answer["of"].items()}
    return classes[answer["is"]](**given)


def _bytes_of(array: Any) -> memoryview:
    """The bytes of a contiguous array, empty or not."""
    return memoryview(array.reshape(-1).view(np.uint8))


def _checked(at: Any, length: Any, size: int) -> int:
    if not (isinstance(at, int) and isinstance(length, int) and at >= 0 and length >= 0 and at + length <= size):
        raise ValueError(f"{length} bytes at {at} of {size}")
    return length
