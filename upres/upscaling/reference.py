"""The second opinion on a tile that `tile_check` rejects: float32 on the CPU, another algorithm on another device.

First a small crop around the suspect block decides whether the model itself behaves that way, which costs less than the
tile. Only if it does not is the whole tile run again, reading at most `MAX_WORK` times its pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from upres.engines.runner import Runner
from upres.engines.tiles import Tile, run_tiles
from upres.engines.tiles import plan as plan_tiles
from upres.errors import EngineError, NotFiniteError, OutOfMemoryError
from upres.graph.nodes import Array
from upres.graph.opaque import Network
from upres.system.memory import available_bytes
from upres.upscaling.tile_check import Fault, agree, find_fault, suspect_block
from upres.upscaling.tile_size import MIN_TILE_PX, Tiling, choose_tiling

MAX_WORK = 2.0
_CROP_PX = 16  # side of the block that is compared
_CROP_OVERLAP_PX = 24  # at most; farther pixels hardly change a block's mean, even in networks that see them
_CROP_SHARE = 0.5  # of the tile: a crop larger than that is not worth a run of its own


class Reference:
    """The engine that decides about rejected tiles. Calls wait for each other.

    graph: The network.
    make: Opens the engine, when it is first needed.
    exact: Never cut the overlap of tiles below the receptive field.
    """

    def __init__(self, graph: Network, make: Callable[[], Runner], *, exact: bool) -> None:
        self._graph, self._make, self._exact = graph, make, exact
        self._runner: Runner | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Of the engine; empty before it was needed."""
        return "" if self._runner is None else self._runner.name

    def close(self) -> None:
        """Free its memory."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def confirms(self, lr: Array, sr: Array, fault: Fault) -> bool:
        """Whether a crop around the worst block of `sr` (1, c, h*scale, w*scale), the engine's result for `lr`, is the
        model's own doing. False also if the crop would not be much smaller than the tile, or fails.
        """
        scale = self._graph.scale
        top, left = suspect_block(lr, sr, fault)
        tile = self._crop(top, left, lr.shape[2], lr.shape[3])
        if tile.source_px > _CROP_SHARE * lr.shape[2] * lr.shape[3]:
            return False
        try:
            with self._lock:
                again = self._opened()(np.ascontiguousarray(tile.cut(lr)))
        except (EngineError, MemoryError):
            return False  # the run of the whole tile tells
        rows, columns = (
            slice(scale * begin, scale * end)
            for begin, end in ((tile.keep_top, tile.keep_bottom), (tile.keep_left, tile.keep_right))
        )
        above, before = scale * tile.source_top, scale * tile.source_left
        kept = again[..., rows.start - above : rows.stop - above, columns.start - before : columns.stop - before]
        return agree(sr[..., rows, columns], kept, scale)

    def __call__(self, lr: Array, room_bytes: int, where: str, suspect: str) -> Array:
        """Run the tile `lr` (1, c, h, w).

        room_bytes: Memory for activations.
        where, suspect: Names of the tile and of its engine, for messages.

        Raises `NotFiniteError` if the result is NaN or infinite too, `EngineError` naming the tile if the engine fails;
        lets `OutOfMemoryError` and `MemoryError` through.
        """
        cause: NotFiniteError | None = None
        try:
            with self._lock:
                sr = self._in_tiles(self._opened(), lr, room_bytes)
            if find_fault(lr, sr) != "not finite":
                return sr
        except NotFiniteError as error:
            cause = error
        except OutOfMemoryError:
            raise
        except EngineError as error:
            raise EngineError(f"{where}: {error}") from error
        raise NotFiniteError(
            f"{suspect} returned NaN or infinity for {where}, and so did {self.name} in float32: "
            "the model is at fault, its file may be damaged; try another model"
        ) from cause

    def _opened(self) -> Runner:
        if self._runner is None:
            self._runner = self._make()
        return self._runner

    def _crop(self, top: int, left: int, height: int, width: int) -> Tile:
        """The tile of (height, width) that keeps `_CROP_PX` from (top, left) on."""
        align = self._graph.alignment
        overlap = min(self._graph.receptive_field, _CROP_OVERLAP_PX)
        boxes: list[tuple[int, int, int, int]] = []
        for begin, length in ((top, height), (left, width)):
            keep = begin // align * align
            end = min(length, -(-(keep + _CROP_PX) // align) * align)
            boxes.append(
                (
                    max(0, (keep - overlap) // align * align),
                    min(length, -(-(end + overlap) // align) * align),
                    keep,
                    end,
                )
            )
        (y0, y1, keep_y0, keep_y1), (x0, x1, keep_x0, keep_x1) = boxes
        return Tile(y0, y1, x0, x1, keep_y0, keep_y1, keep_x0, keep_x1)

    def _in_tiles(self, reference: Runner, lr: Array, room_bytes: int) -> Array:
        """In smaller tiles if need be: the reference may take more memory than the engine that the tile was planned
        for.
        """
        graph = self._graph
        height, width = lr.shape[2:]
        tiling = self._tiling(reference, height, width, room_bytes)
        tiles = plan_tiles(
            height,
            width,
            tile_px=max(tiling.tile_px or MIN_TILE_PX, graph.alignment),
            overlap_px=tiling.overlap_px,
            alignment=graph.alignment,
            grid_px=reference.grid_px,
        )
        if len(tiles) == 1:
            return reference(lr)

        def run(source: Array) -> Array:
            return reference(np.ascontiguousarray(source))

        return run_tiles(run, lr, tiles, scale=graph.scale, channels=graph.out_channels)

    def _tiling(self, reference: Runner, height: int, width: int, room_bytes: int) -> Tiling:
        """Tiles within `room_bytes`; where their overlap would cost more than `MAX_WORK`, within half of the free
        memory instead: a tile is seldom run again, and many times its work is worse than memory that is there.
        """
        graph = self._graph
        tiling = Tiling(0, 0, 0, np.inf)
        for room in (room_bytes, max(room_bytes, available_bytes() // 2)):
            tiling = choose_tiling(
                height,
                width,
                graph,
                room_bytes=room,
                bytes_per_px=graph.activation_bytes_per_pixel * reference.memory_factor,
                tile_px=None,
                exact=self._exact,
                grid_px=reference.grid_px,
            )
            if tiling.tile_px and tiling.work <= MAX_WORK:
                break
        return tiling
