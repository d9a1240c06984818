"""A tile whose input is equal gives the result of last time; any other bit of difference does not."""

from __future__ import annotations

import numpy as np

from upres.upscaling.tile_memory import TileMemory


def test_only_equal_inputs_are_taken_over() -> None:
    memory = TileMemory()
    tile, result = np.ones((1, 3, 4, 5), np.float32), np.ones((1, 3, 8, 10), np.float32)
    assert memory.find("a", [tile]) is None
    memory.keep("a", [tile], [result])
    found = memory.find("a", [tile.copy()])
    assert found is not None
    assert found[0] is result
    assert memory.find("b", [tile]) is None
    changed = tile.copy()
    changed[0, 0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert memory.find("a", [changed]) is None
    assert memory.find("a", [np.ones((1, 3, 4, 6), np.float32)]) is None
    assert (memory.reused, memory.computed) == (20, 20 + 20 + 20 + 24)
    memory.forget()
    assert memory.find("a", [tile]) is None
