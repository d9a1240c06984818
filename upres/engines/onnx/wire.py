"""ONNX files as bytes, without the onnx package, whose import takes longer than many a picture.

A message of protobuf is a sequence of fields; the numbers are those of onnx.proto. The tests compare with what
the onnx package writes, byte by byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

Attribute: TypeAlias = int | float | str | Sequence[int]
FLOAT, FLOAT16 = 1, 10  # TensorProto.DataType
_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.float16): FLOAT16}
_VARINT, _BYTES, _FIXED32 = 0, 2, 5  # wire types
_A_FLOAT, _AN_INT, _A_STRING, _INTS = 1, 2, 3, 7  # AttributeProto.AttributeType


def node(kind: str, inputs: Iterable[str], output: str, attributes: Mapping[str, Attribute]) -> bytes:
    """NodeProto, named after its output."""
    names = b"".join(_field(1, name) for name in inputs)
    settings = b"".join(_field(5, _attribute(name, value)) for name, value in sorted(attributes.items()))
    return names + _field(2, output) + _field(3, output) + _field(4, kind) + settings


def tensor(name: str, values: np.ndarray[Any, Any]) -> bytes:
    """TensorProto of float32 or float16 values."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    dims = b"".join(_number(1, side) for side in values.shape)
    return dims + _number(2, _TYPES[values.dtype]) + _field(8, name) + _field(9, little.tobytes())


def value(name: str, sides: Iterable[int | str]) -> bytes:
    """ValueInfoProto of a float32 tensor; sides that are names are free."""
    dims = (_number(1, side) if isinstance(side, int) else _field(2, side) for side in sides)
    shape = b"".join(_field(1, dim) for dim in dims)
    return _field(1, name) + _field(2, _field(1, _number(1, FLOAT) + _field(2, shape)))


def model(
    name: str,
    nodes: Iterable[bytes],
    constants: Iterable[bytes],
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    *,
    format: int,
    opset: int,
    producer: str,
    facts: Mapping[str, str],
) -> bytes:
    """ModelProto with one graph.

    name: Of the graph, of `nodes` in the order they run, with tensors as `constants` and values as `inputs` and
        `outputs`.
    format, opset: Versions of the file format and of the operators.
    producer, facts: What the file says about itself.
    """
    parts = ((1, nodes), (2, [name.encode()]), (5, constants), (11, inputs), (12, outputs))
    graph = b"".join(_field(number, part) for number, found in parts for part in found)
    said = b"".join(_field(14, _field(1, key) + _field(2, text)) for key, text in sorted(facts.items()))
    operators = _field(8, _field(1, "") + _number(2, opset))
    return _number(1, format) + _field(2, producer) + _field(7, graph) + operators + said


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case float():
            return _field(1, name) + _key(2, _FIXED32) + struct.pack("<f", value) + _number(20, _A_FLOAT)
        case int():
            return _field(1, name) + _number(3, value) + _number(20, _AN_INT)
        case str():
            return _field(1, name) + _field(4, value) + _number(20, _A_STRING)
        case _:
            return _field(1, name) + b"".join(_number(8, item) for item in value) + _number(20, _INTS)


def _field(number: int, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _key(number, _BYTES) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _key(number, _VARINT) + _varint(value)


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Of a number that is not negative."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
