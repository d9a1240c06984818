"""A graph run in two parts: the trunk on the whole picture, the upsampling tail in small tiles, exact.

An RRDBNet holds most of its memory in its last convolutions, at 4 x 4 times the pixels, and these see only 2 LR pixels around. In tiles
that overlap by those 2 the tail takes the same memory for any picture. With ncnn at 256 x 256 peak memory falls from 3.0 to 1.1 GB, and
the pages that the kernel has to clear during the first call to a third, for 1 % more multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from upres.engines.runner import Precision, Runner, check_input, device_bytes_of
from upres.graph.graph import Graph
from upres.graph.nodes import Array

_TILE_PX = 64  # LR pixels; with 64 features at x4 a tile takes ncnn 180 MB


class _Interval(NamedTuple):
    """One axis of a tile, in LR pixels: what the tail reads, and the part of it that is kept."""

    source_begin: int
    source_end: int
    begin: int
    end: int


class TailRunner:
    """Trunk and tail of one graph, each in a runner of its own. See `Runner`."""

    def __init__(self, graph: Graph, trunk: Graph, tail: Graph, make: Callable[[Graph], Runner]) -> None:
        self._graph = graph
        self._overlap = tail.receptive_field
        self._trunk = make(trunk)
        self._tail = make(tail)
        self.name = self._trunk.name
        self.device = self._trunk.device
        self.precision: Precision = self._trunk.precision
        self.notes = self._trunk.notes
        self.grid_px = self._trunk.grid_px
        # While the tail runs, the trunk's pools, its result and ours are held; a tile's 180 MB do not grow with the picture.
        held = 4.0 * (trunk.out_channels + graph.out_channels * graph.scale**2)
        self.memory_factor = (trunk.activation_bytes_per_pixel * self._trunk.memory_factor + held) / graph.activation_bytes_per_pixel

    def device_bytes(self) -> int | None:
        """Those of the trunk, which takes the more of them; see `runner.device_bytes_of`."""
        return device_bytes_of(self._trunk)

    def __call__(self, lr: Array) -> Array:
        check_input(self._graph, lr)
        features = self._trunk(lr)
        _, _, height, width = lr.shape
        scale = self._graph.scale
        result = np.empty((1, self._graph.out_channels, height * scale, width * scale), np.float32)
        for y in self._intervals(height):
            for x in self._intervals(width):
                sr = self._tail(features[:, :, y.source_begin : y.source_end, x.source_begin : x.source_end])
                rows = slice((y.begin - y.source_begin) * scale, (y.end - y.source_begin) * scale)
                columns = slice((x.begin - x.source_begin) * scale, (x.end - x.source_begin) * scale)
                result[:, :, y.begin * scale : y.end * scale, x.begin * scale : x.end * scale] = sr[:, :, rows, columns]
        return result

    def _intervals(self, length: int) -> Iterator[_Interval]:
        """Tiles along one axis. All sources are of one size, so that an engine's pools serve every tile with the blocks of the first."""
        count = -(-length // _TILE_PX)
        side = min(length, -(-length // count) + 2 * self._overlap)
        for index in range(count):
            begin, end = length * index // count, length * (index + 1) // count
            source = min(max(0, begin - self._overlap), length - side)
            yield _Interval(source, source + side, begin, end)

    def close(self) -> None:
        """Free both parts."""
        self._trunk.close()
        self._tail.close()
