"""Run a graph in two parts to save memory: the trunk on the whole input, the upsampling tail in small tiles.

An RRDBNet needs most of its memory in its last convolutions, at 4 x 4 times the pixels, whose receptive field is only
2 LR pixels. In tiles with that overlap the result is the same, and the tail's memory does not grow with the input.
With ncnn at 256 x 256 peak memory falls from 3.0 to 1.1 GB, and the pages that the kernel must clear in the first call
to a third, for 1 % more multiply-adds.
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
    """One axis of a tile, in LR pixels: the range that the tail reads, and the range of the result that is kept."""

    source_begin: int
    source_end: int
    begin: int
    end: int


class TailRunner:
    """Runs trunk and tail of a graph in separate runners. See `Runner`.

    Args:
        graph: The whole graph.
        trunk: Its first part.
        tail: Its second part, with the scale of the whole.
        make: Opens a runner for a part.
    """

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
        # While the tail runs, the trunk's pools, its result and ours are alive; a tile's memory is constant.
        held = 4.0 * (trunk.out_channels + graph.out_channels * graph.scale**2)
        needed = trunk.activation_bytes_per_pixel * self._trunk.memory_factor + held
        self.memory_factor = needed / graph.activation_bytes_per_pixel

    def device_bytes(self) -> int | None:
        """As for the trunk, which needs more than the tail; see `runner.device_bytes_of`."""
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
        """Tiles along one axis. All sources have the same size, so that an engine's memory pools reuse their blocks."""
        count = -(-length // _TILE_PX)
        side = min(length, -(-length // count) + 2 * self._overlap)
        for index in range(count):
            begin, end = length * index // count, length * (index + 1) // count
            source = min(max(0, begin - self._overlap), length - side)
            yield _Interval(source, source + side, begin, end)

    def close(self) -> None:
        """Close both parts."""
        self._trunk.close()
        self._tail.close()
