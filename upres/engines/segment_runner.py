"""Run a deep graph by rows, segment after segment: exact at any height, with memory that grows with the width.

Each segment computes a band of rows as soon as the one before it has made them, and reads a few more on either side
(15 for a block of an RRDBNet); what later segments no longer need is dropped, and values of long skips wait for the sum
that reads them. Nothing is approximated: rows at the border of the picture are padded as in the untiled network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from upres.engines.runner import Precision, Runner, check_input, device_bytes_of, fixed_bytes_of, parallel_of
from upres.graph.graph import Graph
from upres.graph.nodes import Add, Array
from upres.graph.segments import Segment

BAND_ROWS = 240  # of a segment, a multiple of the blocks of 12: with a reach of 15, 1.2 times the work at most
_COPIES = 1.3  # measured: values on their way into and out of the engine
_SPARE_ROWS = 64  # that a value keeps of the band before
_Run = Callable[[Array], Array]


class SegmentRunner:
    """Runs the segments of a graph, each in a runner of its own. See `Runner`.

    Args:
        graph: The whole graph.
        parts: Its segments.
        make: Opens a runner for one of them.
        band_rows: Rows that a segment computes at a time.
    """

    def __init__(
        self, graph: Graph, parts: Sequence[Segment], make: Callable[[Graph], Runner], band_rows: int = BAND_ROWS
    ) -> None:
        self._graph, self._parts, self._band_rows = graph, tuple(parts), band_rows
        self._runners = [make(part.graph) if part.graph is not None else None for part in self._parts]
        runners = [runner for runner in self._runners if runner is not None]
        first = runners[0]
        self.name, self.device, self.notes = first.name, first.device, first.notes
        self.precision: Precision = first.precision
        self.grid_px = first.grid_px
        self.fixed_bytes = sum(map(fixed_bytes_of, runners))
        # One segment works at a time. While a tile is lower than a band, two values of full height are alive beside
        # those of the skips, and the result.
        opened = [(part.graph, runner) for part, runner in zip(self._parts, self._runners, strict=True)]
        work = max(
            found.activation_bytes_per_pixel * runner.memory_factor
            for found, runner in opened
            if found is not None and runner is not None and found.scale == 1
        )
        widest = max(graph.shapes[part.source].channels for part in self._parts)
        held = 4.0 * (3 * widest + 2 * graph.out_channels * graph.scale**2)
        self.memory_factor = _COPIES * (work + held) / graph.activation_bytes_per_pixel
        # Rows from which memory no longer grows: a band with what it reads, and the rows between the segments.
        reach = max(part.graph.receptive_field for part in self._parts if part.graph is not None) + self.grid_px
        between = 4.0 * widest * len(runners) * 2 * (band_rows + reach)
        self.most_rows = int(band_rows + 2 * reach + between / (work + held))

    def device_bytes(self) -> int | None:
        """See `runner.device_bytes_of`."""
        first = next(runner for runner in self._runners if runner is not None)
        return device_bytes_of(first)

    @property
    def parallel_calls(self) -> int:
        """See `runner.parallel_of`."""
        return min(parallel_of(runner)[0] for runner in self._runners if runner is not None)

    def __call__(self, lr: Array) -> Array:
        return self._run(lr, list(self._runners))

    def in_one_thread(self, lr: Array) -> Array:
        """See `runner.parallel_of`."""
        return self._run(lr, [None if runner is None else parallel_of(runner)[1] for runner in self._runners])

    def _run(self, lr: Array, runs: list[_Run | None]) -> Array:
        check_input(self._graph, lr)
        height, width = lr.shape[2:]
        values: dict[str, _Value] = {self._graph.input: _Value(height, iter([lr[0]]))}
        for part, run in zip(self._parts, runs, strict=True):
            if part.sum is not None:
                bands = _summed(part.sum, [values[name].reader() for name in part.sum.inputs], height, self._band_rows)
            else:
                assert run is not None
                assert part.graph is not None
                bands = self._segment(part.graph, run, values[part.source].reader(), height)
            values[part.output] = _Value(height * (part.graph.scale if part.graph is not None else 1), bands)
        scale = self._graph.scale
        result = np.empty((1, self._graph.out_channels, height * scale, width * scale), np.float32)
        top = 0
        for band in values[self._graph.output].bands:
            result[0, :, top : top + band.shape[1]] = band
            top += band.shape[1]
        return result

    def _segment(self, graph: Graph, run: _Run, source: _Reader, height: int) -> Iterator[Array]:
        reach, scale, grid = graph.receptive_field, graph.scale, self.grid_px
        rows = self._band_rows if scale == 1 else max(16, self._band_rows // scale**2)
        for top in range(0, height, rows):
            bottom = min(height, top + rows)
            first = max(0, (top - reach) // grid * grid)  # blocks as in the untiled network: see `Runner.grid_px`
            last = min(height, -(-(bottom + reach) // grid) * grid)
            following = max(0, (bottom - reach) // grid * grid)
            planes = source.read(first, last, height if bottom == height else following)
            sr = run(planes[None])[0]
            yield sr[:, (top - first) * scale : (bottom - first) * scale]

    def close(self) -> None:
        """Close all parts."""
        for runner in self._runners:
            if runner is not None:
                runner.close()


def _summed(node: Add, sources: Sequence[_Reader], height: int, rows: int) -> Iterator[Array]:
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        total: Array | None = None
        for source, coefficient in zip(sources, node.coefficients, strict=True):
            part = source.read(top, bottom, bottom)
            if coefficient != 1.0:
                part *= np.float32(coefficient)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        yield total


class _Value:
    """Rows of a value (c, h, w), made when the first of its readers asks for them, and dropped after the last."""

    def __init__(self, height: int, bands: Iterator[Array]) -> None:
        self.bands = bands
        self._height = height
        self._rows: Array | None = None
        self._first, self._count = 0, 0
        self._keeps: list[int] = []  # by reader: rows before are not read again

    def reader(self) -> _Reader:
        """A further reader; all are made before the first one reads."""
        self._keeps.append(0)
        return _Reader(self, len(self._keeps) - 1)

    def read(self, top: int, bottom: int, reader: int, keep: int) -> Array:
        """A copy of rows `top` to `bottom` - 1. This reader reads none before `keep` again; none at all at the end."""
        while self._first + self._count < bottom:
            self._append(next(self.bands))
        assert self._rows is not None
        found = np.array(self._rows[:, top - self._first : bottom - self._first])
        self._keeps[reader] = keep
        if min(self._keeps) >= self._height:
            self._rows = None  # its memory, which the segments that follow need
        return found

    def _append(self, band: Array) -> None:
        gone = min(max(0, min(self._keeps) - self._first), self._count)
        kept = self._count - gone
        needed = kept + band.shape[1]
        before = self._rows
        if before is None or before.shape[1] < needed:
            room = min(self._height - self._first - gone, needed + _SPARE_ROWS)  # or the next band takes another array
            self._rows = np.empty((band.shape[0], max(needed, room), band.shape[2]), np.float32)
        assert self._rows is not None
        if before is not None and kept:
            self._rows[:, :kept] = before[:, gone : self._count]
        self._rows[:, kept:needed] = band
        self._first, self._count = self._first + gone, needed


class _Reader:
    """One of the readers of a value."""

    def __init__(self, value: _Value, number: int) -> None:
        self._value, self._number = value, number

    def read(self, top: int, bottom: int, keep: int) -> Array:
        """See `_Value.read`."""
        return self._value.read(top, bottom, self._number, keep)
