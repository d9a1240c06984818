"""The safetensors container: an int64 header size, a JSON header, the numbers. Read with every claim checked, written
deterministically.

Layout: https://github.com/huggingface/safetensors#format. Files of ours carry `upres.sha256` in their metadata: the
SHA-256 of the header without that entry (JSON, keys sorted, no spaces), followed by the numbers. It covers names,
shapes, metadata and every number.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError
from upres.system.files import write_atomic
from upres.weights.tensors import DTYPES, Origin, check_name, count, decode

SHA256_KEY = "upres.sha256"
MAX_HEADER_BYTES = 16 * 2**20

_CODES = {
    "F32": "float32",
    "F64": "float64",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODE_OF = {DTYPES[dtype]: code for code, dtype in _CODES.items() if dtype != "bfloat16"}


def read_safetensors(data: bytes, origin: Origin) -> dict[str, NDArray[np.generic]]:
    """Tensors by name, floats as float32.

    Raises ModelError where header and numbers do not fit exactly, or the checksum does not.
    """
    (size,) = struct.unpack_from("<Q", data)
    if size > min(len(data) - 8, MAX_HEADER_BYTES):
        raise origin.refuse(
            f"its header should have {size:,} bytes, the file has {len(data) - 8:,} after it begins: truncated or "
            "damaged"
        )
    header = _parse(data[8 : 8 + size], origin)
    metadata = header.pop("__metadata__", {})
    entries = {name: _entry(name, value, origin) for name, value in header.items()}
    if not entries:
        raise origin.refuse("it holds no tensors")
    numbers = memoryview(data)[8 + size :]
    at = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise origin.refuse(
                f"tensor {name!r} begins at byte {begin:,}; expected {at:,}: gap or overlap, it is damaged"
            )
        at = end
    if at != len(numbers):
        raise origin.refuse(f"its tensors should take {at:,} bytes, found {len(numbers):,}: it is truncated or damaged")
    _verify(metadata, header, numbers, origin)
    made: dict[str, NDArray[np.generic]] = {}
    for name, (dtype, shape, begin, end) in entries.items():
        stored = np.ndarray(shape, DTYPES[dtype], numbers, begin) if end > begin else np.zeros(shape, DTYPES[dtype])
        made[name] = decode(stored, dtype, origin, name)
    return made


def _parse(raw: bytes, origin: Origin) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name stands in it twice")
        return dict(pairs)

    try:
        header: object = json.loads(raw, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise origin.refuse(f"its header is not a safetensors header ({str(error)[:100]}): it is damaged") from error
    if not isinstance(header, dict):
        raise origin.refuse("its header is not a table of tensors: it is damaged")
    return cast(dict[str, object], header)


def _entry(name: str, value: object, origin: Origin) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, first byte, byte after the last."""
    check_name(name, origin)
    fields = cast(dict[str, object], value) if isinstance(value, dict) else {}
    code = fields.get("dtype")
    listed, sizes = _integers(fields.get("shape"))
    two, offsets = _integers(fields.get("data_offsets"))
    if not isinstance(code, str) or not listed or not two or len(offsets) != 2 or len(fields) != 3:
        raise origin.refuse(f"tensor {name!r} is not described by dtype, shape and data_offsets: it is damaged")
    begin, end = offsets
    if code not in _CODES:
        raise origin.refuse(f"tensor {name!r} has the dtype {code[:20]}; expected one of {', '.join(_CODES)}")
    dtype = _CODES[code]
    expected = count(sizes, origin, name) * DTYPES[dtype].itemsize
    if not 0 <= begin <= end <= origin.size:
        raise origin.refuse(f"tensor {name!r} lies outside the file of {origin.size:,} bytes: truncated or damaged")
    if end - begin != expected:
        raise origin.refuse(
            f"tensor {name!r} of shape {sizes} and dtype {code} needs {expected:,} bytes, found {end - begin:,}"
        )
    return dtype, sizes, begin, end


def _integers(value: object) -> tuple[bool, tuple[int, ...]]:
    """Whether this is a list of integers, and those that are."""
    if not isinstance(value, list):
        return False, ()
    items = cast(list[object], value)
    integers = tuple(item for item in items if type(item) is int)
    return len(integers) == len(items), integers


def _digest(header: Mapping[str, object], metadata: Mapping[str, object], numbers: bytes | memoryview) -> str:
    kept = {key: value for key, value in metadata.items() if key != SHA256_KEY}
    text = json.dumps({**header, "__metadata__": kept}, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode())
    digest.update(numbers)
    return digest.hexdigest()


def _verify(metadata: object, header: Mapping[str, object], numbers: memoryview, origin: Origin) -> None:
    texts = cast(dict[str, object], metadata) if isinstance(metadata, dict) else {"": None}
    if not all(isinstance(text, str) for text in texts.values()):
        raise origin.refuse("its metadata is not a table of strings: it is damaged")
    if SHA256_KEY in texts and texts[SHA256_KEY] != (found := _digest(header, texts, numbers)):
        raise origin.refuse(
            f"its content has the SHA-256 {found}, but it says {str(texts[SHA256_KEY])[:64]!r}: it was changed or "
            "damaged"
        )


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str]) -> None:
    """Write `tensors` with their dtypes as `path`, all or nothing, with their SHA-256 in the metadata; equal content
    gives equal bytes.

    Raises ModelError for a dtype that the format or we lack, OutputError where `path` cannot be written.
    """
    arrays: list[tuple[str, str, NDArray[np.generic]]] = []
    for name, tensor in tensors.items():
        array = np.asarray(tensor, order="C")
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype not in _CODE_OF or name == "__metadata__":
            raise ModelError(
                f"cannot write {path}: tensor {name!r} has the dtype {array.dtype}; expected one of "
                f"{', '.join(_CODES.values())}"
            )
        arrays.append((name, _CODE_OF[array.dtype], array))
    arrays.sort(key=lambda item: (-item[2].itemsize, item[0]))  # wide numbers first: each lies aligned
    header: dict[str, object] = {}
    at = 0
    for name, code, array in arrays:
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    numbers = b"".join(array.tobytes() for _, _, array in arrays)
    texts = {**metadata, SHA256_KEY: _digest(header, metadata, numbers)}
    head = json.dumps({"__metadata__": dict(sorted(texts.items())), **header}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    write_atomic(path, struct.pack("<Q", len(head)) + head + numbers)
