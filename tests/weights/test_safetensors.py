"""Our safetensors files against the safetensors library: equal bytes, a checksum that notices every flip, and lies that
are refused.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray

from upres.errors import ModelError, OutputError
from upres.weights.read import SHA256_KEY, parse_weights, read_weights, write_safetensors


def small_state() -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(3)
    return {
        "body.0.weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "body.0.bias": rng.standard_normal(4).astype(np.float16),
        "steps": np.array(7, np.int64),
        "mask": np.array([True, False, True]),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "empty": np.zeros((0, 3), np.float32),
        "bytes": np.arange(5, dtype=np.uint8),
    }


def of_header(header: object, numbers: bytes = b"", *, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + numbers


def entry(shape: object = (2,), offsets: object = (0, 8), dtype: object = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_what_we_write_the_safetensors_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    state = small_state()
    write_safetensors(path, state, {"recipe": "compact-x4", "note": "é"})
    theirs = safetensors.numpy.load_file(path)
    assert sorted(theirs) == sorted(state)
    for name, array in state.items():
        assert theirs[name].dtype == array.dtype and theirs[name].shape == array.shape
        np.testing.assert_array_equal(theirs[name], array)
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["recipe"] == "compact-x4" and metadata["note"] == "é" and len(metadata[SHA256_KEY]) == 64


def test_what_we_write_we_read_floats_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    state = small_state()
    write_safetensors(path, state, {})
    found = read_weights(path)
    assert sorted(found) == sorted(state)
    for name, array in state.items():
        expected = array.astype(np.float32) if array.dtype.kind == "f" else array
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
        assert found[name].flags.writeable and found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool], ids=str)
def test_what_the_safetensors_library_writes_we_read(dtype: torch.dtype) -> None:
    state = {"w": torch.linspace(-3, 3, 10).reshape(2, 5).to(dtype), "s": torch.tensor(1).to(dtype)}
    found = parse_weights(safetensors.torch.save(state, {"format": "pt"}), "m.safetensors")
    for name, tensor in state.items():
        expected = (tensor.float() if dtype.is_floating_point else tensor).numpy()
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    state = small_state()
    write_safetensors(tmp_path / "a", state, {"x": "1", "y": "2"})
    other = {
        name: np.array(array, order="F").astype(array.dtype.newbyteorder(">"))
        for name, array in reversed(state.items())
    }
    write_safetensors(tmp_path / "b", other, {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_safetensors(tmp_path / "c", state, {"x": "1", "y": "3"})
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_the_checksum_is_the_documented_one(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m", small_state(), {"recipe": "r"})
    data = (tmp_path / "m").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    stated = header["__metadata__"].pop(SHA256_KEY)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    assert stated == hashlib.sha256(text + data[8 + size :]).hexdigest()


def test_every_flipped_bit_of_our_own_file_is_noticed(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m", {"w": np.linspace(0, 1, 20, dtype=np.float32)}, {"recipe": "r"})
    data = (tmp_path / "m").read_bytes()
    expected = parse_weights(data, "m")["w"]
    unnoticed: list[int] = []
    for bit in range(len(data) * 8):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            found = parse_weights(bytes(broken), "m")
        except ModelError:
            continue
        # Only the name of the checksum's own entry can change unseen: then there is no checksum, and the numbers are
        # what they were.
        assert list(found) == ["w"] and np.array_equal(found["w"], expected)
        unnoticed.append(bit // 8)
    key = data.index(SHA256_KEY.encode())
    assert all(key <= at < key + len(SHA256_KEY) or chr(data[at]).isspace() for at in unnoticed)


def test_a_changed_number_and_a_changed_name_are_told(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "m", {"w": np.ones(20, np.float32)}, {})
    data = (tmp_path / "m").read_bytes()
    for broken in (data[:-1] + bytes([data[-1] ^ 1]), data.replace(b'"w"', b'"v"')):
        with pytest.raises(
            ModelError, match=r"m: its content has the SHA-256 [0-9a-f]{64}, but it says '[0-9a-f]{64}': it was changed"
        ):
            parse_weights(broken, "m")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            of_header({"w": entry()}, bytes(8), size=1000),
            r"header should have 1,000 bytes, the file has [\d,]+ after it begins",
        ),
        (of_header({"w": entry()}, bytes(7)), "its tensors should take 8 bytes, found 7|lies outside the file"),
        (of_header({"w": entry()}, bytes(9)), "its tensors should take 8 bytes, found 9"),
        (
            of_header({"w": entry(), "v": entry(offsets=(4, 12))}, bytes(12)),
            "begins at byte 4; expected 8: gap or overlap",
        ),
        (of_header({"w": entry(), "v": entry(offsets=(12, 20))}, bytes(20)), "begins at byte 12; expected 8"),
        (
            of_header({"w": entry(offsets=(0, 12))}, bytes(12)),
            r"tensor 'w' of shape \(2,\) and dtype F32 needs 8 bytes, found 12",
        ),
        (of_header({"w": entry(offsets=(8, 0))}, bytes(8)), "tensor 'w' lies outside the file"),
        (of_header({"w": entry(offsets=(-8, 0))}, bytes(8)), "tensor 'w' lies outside the file"),
        (of_header({"w": entry(offsets=(0, 10**4000))}, bytes(8)), "tensor 'w' lies outside the file"),
        (
            of_header({"w": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}),
            r"claims the shape \(0, 4611686018427387904, ",
        ),
        (of_header({"w": entry(shape=(10**4000, 1))}, bytes(8)), r"claims the shape \(a huge number, 1\)"),
        (of_header({"w": entry(shape=(-2,))}, bytes(8)), r"claims the shape \(-2\)"),
        (of_header({"w": entry(shape=(2.0,))}, bytes(8)), "not described by dtype, shape and data_offsets"),
        (of_header({"w": entry(shape=(True, 2))}, bytes(8)), "not described by"),
        (of_header({"w": entry(offsets=(0, 8, 9))}, bytes(8)), "not described by"),
        (of_header({"w": {**entry(), "more": 1}}, bytes(8)), "not described by"),
        (of_header({"w": [1]}, bytes(8)), "not described by"),
        (
            of_header({"w": entry(dtype="F8_E4M3", offsets=(0, 2))}, bytes(2)),
            "has the dtype F8_E4M3; expected one of F32, F64",
        ),
        (of_header({"n" * 600: entry()}, bytes(8)), "name of a tensor has 600 characters"),
        (of_header({"w": entry(), "__metadata__": {"a": 1}}, bytes(8)), "metadata is not a table of strings"),
        (of_header({"w": entry(), "__metadata__": [1]}, bytes(8)), "metadata is not a table of strings"),
        (of_header({"__metadata__": {}}), "holds no tensors"),
        (of_header(b'{"w": 1, "w": 2}'), "a name stands in it twice"),
        (of_header(b'{"w": '), "not a safetensors header"),
        (of_header(b'{"w": ' + b"[" * 200_000), "not a safetensors header"),
        (of_header(b'{"w": ' + b"9" * 5000 + b"}"), "not a safetensors header"),
        (of_header(b'{"w": "\xff\xfe"}'), "not a safetensors header"),
        (
            of_header({"w": entry()}, np.array([1, np.nan], "<f4").tobytes()),
            "tensor 'w' has 1 of 2 numbers that are not finite",
        ),
    ],
)
def test_safetensors_that_lie_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        parse_weights(data, "m.safetensors")
    assert str(caught.value).startswith("model file m.safetensors: ") and len(str(caught.value)) < 600


def test_writing_refuses_what_the_format_lacks_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tensor 'w' has the dtype complex128; expected one of float32"):
        write_safetensors(tmp_path / "m", {"w": np.ones(2, complex)}, {})
    with pytest.raises(OutputError, match="cannot write"):
        write_safetensors(tmp_path / "none" / "m", {"w": np.ones(2, np.float32)}, {})
    assert list(tmp_path.iterdir()) == []
