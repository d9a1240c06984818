"""Values between processes: what is packed comes back, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from upres.images.wire import Buffer, pack, unpack


@dataclass(frozen=True)
class Thing:
    name: str
    values: np.ndarray[Any, Any] | None = None


def _travel(value: Any, change: Any = None) -> Any:
    buffers: list[Buffer] = []
    said = pack(value, buffers)
    data = b"".join(buffers)

    def take(at: int, buffer: memoryview) -> None:
        buffer[:] = data[at : at + len(buffer)]

    return unpack(said if change is None else change, take, len(data), {"Thing": Thing})


def test_values_come_back() -> None:
    value = (None, True, 3, 0.25, "ä\ud800", b"\0\1", {"a": (b"x",), 5: "y"})
    assert _travel(value) == value


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.uint16])
def test_arrays_come_back(kind: Any) -> None:
    array = (np.arange(24).reshape(2, 3, 4) * 1.5).astype(kind)[:, ::-1]
    found = _travel(Thing("a", array))
    assert found.name == "a" and found.values.dtype == array.dtype
    np.testing.assert_array_equal(found.values, array)
    assert _travel(np.zeros((0, 3), np.uint8)).shape == (0, 3)


@pytest.mark.parametrize(
    "said",
    [
        {"is": "Popen", "of": {}},
        {"is": "Thing", "of": {"nothing": 1}},
        {"array": ["object", [1], 0]},
        {"array": ["float32", [-1], 0]},
        {"array": ["float32", [1 << 40], 0]},
        {"array": ["float32", [2], 1]},
        {"bytes": [-1, 2]},
        {"bytes": [0, 1 << 50]},
        {"bytes": ["0", 1]},
        [1, 2],
        {},
    ],
)
def test_anything_else_is_refused(said: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        _travel(b"12345678", said)


def test_depth_is_limited() -> None:
    said: Any = 1
    for _ in range(20):
        said = {"tuple": [said]}
    with pytest.raises(ValueError, match="nested"):
        _travel(b"", said)


def test_other_things_do_not_travel() -> None:
    with pytest.raises(TypeError, match="object does not travel"):
        pack(object(), [])
