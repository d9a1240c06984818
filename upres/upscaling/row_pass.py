"""Run one network over a picture from the top: rows in, rows out, tile by tile, with the tiles of `tiled_run`.

Tiles are computed band by band, several at once where the engine can; a band is passed on when its last tile is
pasted. Memory grows with the width of the picture, not with its height.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.engines.tiles import Tile, divide
from upres.errors import OutOfMemoryError
from upres.images.rows import Rows
from upres.upscaling.checked_network import CheckedNetwork
from upres.upscaling.plan import Pass
from upres.upscaling.tile_size import tiles_of
from upres.upscaling.tiled_run import Array, Meter, box, run_tile

_WAKE_S = 0.2  # Ctrl-C interrupts a wait at once on POSIX, on Windows after it


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done to the result of every tile, in its thread.

    change: From pixels h w c to what a band holds, h w `channels` of `dtype`.
    """

    change: Callable[[Array], NDArray[Any]]
    dtype: np.dtype[Any]
    channels: int


@dataclass(slots=True)
class _Band:
    """Tiles that keep the same rows, and what they have pasted so far."""

    waiting: list[Tile]
    bottom: int  # of the rows that are kept, inside the picture
    left: int
    result: NDArray[Any] = field(init=False)
    top: int = field(init=False)
    source_top: int = field(init=False)
    source_bottom: int = field(init=False)

    def __post_init__(self) -> None:
        self.top = self.waiting[0].keep_top
        self.source_top = min(tile.source_top for tile in self.waiting)
        self.source_bottom = max(tile.source_bottom for tile in self.waiting)


def run_rows(
    network: CheckedNetwork, source: Rows, step: Pass, meter: Meter, finish: Finish | None = None
) -> Iterator[NDArray[Any]]:
    """The bands of `run_pass(network, whole, step, meter)`, from the top; equal to it to the bit.

    finish: Changes every tile before it is pasted.

    Raises as `run_pass` does, while bands are taken.
    """
    return _RowRun(network, source, step, meter, finish).bands()


class _RowRun:
    def __init__(self, network: CheckedNetwork, source: Rows, step: Pass, meter: Meter, finish: Finish | None) -> None:
        graph = network.graph
        self._network, self._step, self._meter = network, step, meter
        self._height, self._width, channels = source.shape
        self._finish = finish or Finish(lambda pixels: pixels, np.dtype(np.float32), channels)
        self._source = _Padded(source, graph.alignment)
        self._size = (self._source.height, self._source.width)
        self._px_macs = (channels if graph.in_channels == 1 else 1) * graph.macs_per_pixel
        self._tiling = network.fitted(step.tiling, *self._size)
        tiles = self._planned()
        if self._tiling is not step.tiling:
            before = tiles_of(step.tiling, self._size, source.shape[:2], graph.alignment, network.runner.grid_px)
            meter.expect((_work(tiles) - _work(before)) * self._px_macs)
        rows = [list(band) for _, band in groupby(tiles, key=lambda tile: tile.keep_top)]
        self._left = deque(_Band(row, min(row[0].keep_bottom, self._height), len(row)) for row in rows)
        self._open: deque[_Band] = deque()
        self._running: dict[Future[None], tuple[_Band, Tile]] = {}

    def _planned(self) -> list[Tile]:
        graph, grid = self._network.graph, self._network.runner.grid_px
        return tiles_of(self._tiling, self._size, (self._height, self._width), graph.alignment, grid)

    def bands(self) -> Iterator[NDArray[Any]]:
        workers = self._tiling.workers
        with ThreadPoolExecutor(workers, thread_name_prefix="upres-tile") if workers > 1 else nullcontext() as pool:
            while self._left or self._open:
                failed: list[tuple[_Band, Tile]] = []
                short: Exception | None = None
                while len(self._running) < workers and (found := self._next()) is not None:
                    work = self._work(*found)
                    if pool is not None:
                        self._running[pool.submit(work)] = found
                        continue
                    try:
                        work()
                    except (OutOfMemoryError, MemoryError) as error:
                        failed, short = [found], error
                    else:
                        self._ended(*found)
                    break
                for future in self._done():
                    found = self._running.pop(future)
                    error = future.exception()
                    if error is None:
                        self._ended(*found)
                    elif isinstance(error, OutOfMemoryError | MemoryError):
                        failed.append(found)
                        short = error
                    else:
                        raise error
                if short is not None:
                    self._settle(failed)
                    self._halve(failed, short)
                while self._open and not self._open[0].left:
                    band = self._open.popleft()
                    yield band.result

    def _next(self) -> tuple[_Band, Tile] | None:
        """The next tile to run. A band is begun when no other tile waits."""
        band = next((band for band in self._open if band.waiting), None)
        if band is None:
            if not self._left or len(self._open) > self._tiling.workers:
                return None
            band = self._left.popleft()
            scale = self._network.graph.scale
            shape = ((band.bottom - band.top) * scale, self._width * scale, self._finish.channels)
            band.result = np.empty(shape, self._finish.dtype)
            self._open.append(band)
        return band, band.waiting.pop(0)

    def _work(self, band: _Band, tile: Tile) -> Callable[[], None]:
        """What computes and pastes a tile, whose input is taken now: the rows may be dropped later."""
        first = self._open[0]
        rows = self._source.read(tile.source_top, tile.source_bottom, first.source_top)
        planes = np.ascontiguousarray(np.moveaxis(rows[:, tile.source_left : tile.source_right], 2, 0))
        scale, tiling = self._network.graph.scale, self._tiling
        bottom, right = min(tile.keep_bottom, self._height), min(tile.keep_right, self._width)

        def work() -> None:
            if tile.keep_top >= bottom or tile.keep_left >= right:  # where tiles were halved: nothing but padding
                return
            sr = run_tile(self._network, planes, tile, tiling)
            y, x = (tile.keep_top - tile.source_top) * scale, (tile.keep_left - tile.source_left) * scale
            rows, columns = (bottom - tile.keep_top) * scale, (right - tile.keep_left) * scale
            kept = self._finish.change(np.moveaxis(sr[:, y : y + rows, x : x + columns], 0, 2))
            top, left = (tile.keep_top - band.top) * scale, tile.keep_left * scale
            band.result[top : top + rows, left : left + columns] = kept

        return work

    def _ended(self, band: _Band, tile: Tile) -> None:
        band.left -= 1
        self._meter.advance(tile.source_px * self._px_macs)

    def _done(self) -> set[Future[None]]:
        return wait(self._running, timeout=_WAKE_S, return_when=FIRST_COMPLETED)[0] if self._running else set()

    def _settle(self, failed: list[tuple[_Band, Tile]]) -> None:
        """Wait for the tiles that run, after one did not fit in memory."""
        for future, found in self._running.items():
            error = future.exception()
            if error is None:
                self._ended(*found)
            elif isinstance(error, OutOfMemoryError | MemoryError):
                failed.append(found)
            else:
                raise error
        self._running.clear()

    def _halve(self, failed: list[tuple[_Band, Tile]], error: Exception) -> None:
        """Split all tiles that are left, as `tiled_run` does."""
        network = self._network
        for band, tile in failed:
            band.waiting.append(tile)
        bands = [*self._open, *self._left]
        before = sum(_work(band.waiting) for band in bands)
        most = max(tile.source_px for _, tile in failed)
        while True:
            side = max(tile.keep_side for band in bands for tile in band.waiting)
            network.shrink(side, box(failed[0][1]), error)
            self._tiling = network.fitted(self._step.tiling, *self._size)
            for band in bands:
                parts = [part for tile in band.waiting for part in self._divided(tile)]
                band.left += len(parts) - len(band.waiting)
                band.waiting = parts
            if max(tile.source_px for band in bands for tile in band.waiting) < most:
                break
        self._meter.expect((sum(_work(band.waiting) for band in bands) - before) * self._px_macs)

    def _divided(self, tile: Tile) -> list[Tile]:
        network, tiling = self._network, self._tiling
        align, grid = network.graph.alignment, network.runner.grid_px
        sides, overlap = tiling.kept, tiling.overlap_px
        return divide(tile, *self._size, tile_px=sides, overlap_px=overlap, alignment=align, grid_px=grid)


class _Padded:
    """Rows padded below and right by reflection to multiples of `alignment`."""

    def __init__(self, source: Rows, alignment: int) -> None:
        self._source = source
        self._rows, self._columns = source.shape[:2]
        self.height, self.width = (-(-side // alignment) * alignment for side in (self._rows, self._columns))

    def read(self, top: int, bottom: int, keep: int) -> Array:
        """As `Rows.read`."""
        below, right = max(0, bottom - self._rows), self.width - self._columns
        first = min(top, max(0, self._rows - 1 - below))
        rows = self._source.read(first, min(bottom, self._rows), min(keep, self._reflected()))
        if below or right:
            rows = np.pad(rows, ((0, below), (0, right), (0, 0)), mode="reflect")
        return rows[top - first :]

    def _reflected(self) -> int:
        """The first row that the padding at the end needs."""
        below = self.height - self._rows
        return max(0, self._rows - 1 - below) if below else self._rows


def _work(tiles: list[Tile]) -> int:
    return sum(tile.source_px for tile in tiles)
