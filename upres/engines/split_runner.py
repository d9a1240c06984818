"""Run a graph in two parts to save memory: the trunk on the whole input, the upsampling tail in small tiles.

An RRDBNet needs most of its memory in its last convolutions, at 4 x 4 times the pixels, whose receptive field is only
2 LR pixels. In tiles with that overlap the result is the same, and the tail's memory does not grow with the input.
With ncnn at 256 x 256 peak memory falls from 3.0 to 1.1 GB, and the pages that the kernel must clear in the first call
to a third, for 1 % more multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable

from upres.engines.runner import Precision, Runner, check_input, device_bytes_of, fixed_bytes_of, parallel_of
from upres.engines.tiles import plan_windows, run_tiles
from upres.graph.graph import Graph
from upres.graph.nodes import Array

_TILE_PX = 64  # LR pixels; with 64 features at x4 a tile takes ncnn 180 MB


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
        self.fixed_bytes = fixed_bytes_of(self._trunk) + fixed_bytes_of(self._tail)
        # While the tail runs, the trunk's pools, its result and ours are alive; a tile's memory is constant.
        held = 4.0 * (trunk.out_channels + graph.out_channels * graph.scale**2)
        needed = trunk.activation_bytes_per_pixel * self._trunk.memory_factor + held
        self.memory_factor = needed / graph.activation_bytes_per_pixel

    def device_bytes(self) -> int | None:
        """As for the trunk, which needs more than the tail; see `runner.device_bytes_of`."""
        return device_bytes_of(self._trunk)

    @property
    def parallel_calls(self) -> int:
        """See `runner.parallel_of`."""
        return min(parallel_of(part)[0] for part in (self._trunk, self._tail))

    def __call__(self, lr: Array) -> Array:
        return self._run(lr, self._trunk, self._tail)

    def in_one_thread(self, lr: Array) -> Array:
        """See `runner.parallel_of`."""
        return self._run(lr, parallel_of(self._trunk)[1], parallel_of(self._tail)[1])

    def _run(self, lr: Array, trunk: Callable[[Array], Array], tail: Callable[[Array], Array]) -> Array:
        check_input(self._graph, lr)
        features = trunk(lr)
        height, width = lr.shape[2:]
        # Sources of one size, so that an engine's memory pools reuse their blocks.
        tiles = plan_windows(height, width, size=(self._side(height), self._side(width)), overlap_px=self._overlap)
        return run_tiles(tail, features, tiles, scale=self._graph.scale, channels=self._graph.out_channels)

    def _side(self, length: int) -> int:
        """Of a tile with its overlap, along an axis of the picture."""
        return min(length, -(-length // -(-length // _TILE_PX)) + 2 * self._overlap)

    def close(self) -> None:
        """Close both parts."""
        self._trunk.close()
        self._tail.close()
