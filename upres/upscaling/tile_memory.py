"""What the tiles of the previous picture gave: in a video, tiles that did not change are not computed again.

A tile is taken over only if everything that its network reads, overlap included, is equal bit by bit; then its result
is too.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from upres.graph.nodes import Array


class TileMemory:
    """The inputs and results of the last run of each tile. Several threads may use it at once.

    reused, computed: Pixels of the inputs so far.
    """

    def __init__(self) -> None:
        self.reused = self.computed = 0
        self._tiles: dict[str, tuple[list[Array], list[Array]]] = {}
        self._lock = threading.Lock()

    def find(self, tile: str, batches: Sequence[Array]) -> list[Array] | None:
        """The results of the tile of that name if its last inputs were equal to `batches`."""
        known = self._tiles.get(tile)
        same = known is not None and all(
            np.array_equal(one, other) for one, other in zip(known[0], batches, strict=True)
        )
        with self._lock:
            if same:
                self.reused += _px(batches)
            else:
                self.computed += _px(batches)
        return list(known[1]) if known is not None and same else None

    def keep(self, tile: str, batches: Sequence[Array], results: Sequence[Array]) -> None:
        """Keep the results of a tile; those of its last run are forgotten. Nobody may change the arrays."""
        self._tiles[tile] = (list(batches), list(results))

    def forget(self) -> None:
        """Free the memory."""
        self._tiles.clear()


def _px(batches: Sequence[Array]) -> int:
    return sum(batch.shape[-2] * batch.shape[-1] for batch in batches)
