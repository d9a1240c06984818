"""A network with its engine, and the recovery from tiles that the engine gets wrong.

A tile that `tile_check` rejects is run again by `reference`. If that agrees, the model itself behaves that way and the
engine's result is kept. An
engine that fails several tiles in a row is not used for the rest of the picture; the next picture starts with it again,
since the content of one picture may be the cause. After memory ran out once, later tiles are no larger than those that
fitted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from upres.engines.runner import Runner, device_bytes_of, fixed_bytes_of, most_rows_of, parallel_of
from upres.errors import EngineError, NotFiniteError, OutOfMemoryError
from upres.graph.nodes import Array
from upres.graph.opaque import Network
from upres.upscaling.plan import NetworkCost
from upres.upscaling.reference import Reference
from upres.upscaling.tile_check import Fault, agree, find_fault
from upres.upscaling.tile_memory import TileMemory
from upres.upscaling.tile_size import MIN_TILE_PX, WIDE_FIELD_PX, Tiling, narrow_note, smaller_tiles

_log = logging.getLogger(__name__)
MOST_PX = 512  # side of a tile that measures the speed: larger ones are not faster
PATIENCE = 3  # bad tiles in a row before the engine is dropped; confirmations before a fault is ascribed to the model
_WORDS: dict[Fault, str] = {
    "not finite": "with NaN or infinity",
    "flat": "in one flat color where the picture has detail",
    "far from its input's mean": "far from the mean color of the picture",
}


@dataclass(slots=True)
class _Tally:
    """What happened to the tiles of one picture."""

    tiles: int = 0
    again: Counter[Fault] = field(default_factory=Counter[Fault])
    spared: int = 0  # tiles run by the reference because the engine was dropped
    own: list[Fault] = field(default_factory=list[Fault])  # faults of the model itself, confirmed by the reference
    short_px: int = 0  # side of the first tile that did not fit in memory
    notes: list[str] = field(default_factory=list[str])


class CheckedNetwork:
    """Runs a network on tiles, and checks what its engine returns.

    graph: The network.
    runner: Its engine.
    reference: Opens the float32 CPU engine that decides about rejected tiles.
    exact: Never cut the overlap of tiles below the receptive field.

    `memory`, where it is set, gives the results of tiles that equal those of the previous picture.
    """

    def __init__(self, graph: Network, runner: Runner, reference: Callable[[], Runner], *, exact: bool = False) -> None:
        self.graph, self.runner, self.exact = graph, runner, exact
        self.max_tile_px: int | None = None
        self.memory: TileMemory | None = None
        self._reference = Reference(graph, reference, exact=exact)
        self._in_a_row = 0
        self._aside = False
        self._own: Counter[Fault] = Counter()
        self._tally = _Tally()
        self._lock = threading.Lock()  # guards the counts

    @property
    def cost(self) -> NetworkCost:
        """What a plan needs to know about this network now."""
        free = device_bytes_of(self.runner)
        runner = self.runner
        return NetworkCost(
            self.graph,
            runner.memory_factor,
            runner.grid_px,
            free,
            self.max_tile_px,
            parallel_of(runner)[0],
            fixed_bytes_of(runner),
            most_rows_of(runner),
        )

    def close(self) -> None:
        """Free the memory of both engines."""
        self.runner.close()
        self._reference.close()

    def macs_per_second(self, macs: float, workers: int = 1, most_px: int = MOST_PX) -> float:
        """Measure the engine's speed with gray tiles of about `macs` multiply-adds in all, `workers` at once, of at
        most `most_px` a side.
        """
        graph = self.graph
        side = int(np.clip(np.sqrt(macs / workers / graph.macs_per_pixel), min(16, most_px), most_px))
        engine = self.runner if workers == 1 else parallel_of(self.runner)[1]
        while True:
            side = max(1, side // graph.alignment) * graph.alignment
            tile = np.full((1, graph.in_channels, side, side), 0.5, np.float32)
            start = time.perf_counter()
            try:
                _run_copies(engine, tile, workers)
            except NotFiniteError:  # only the time matters here; tiles of a picture will be run again
                pass
            except (OutOfMemoryError, MemoryError):
                if side <= MIN_TILE_PX:
                    raise
                side //= 2
                continue
            return graph.macs_per_pixel * side * side * workers / max(time.perf_counter() - start, 1e-6)

    def begin(self) -> None:
        """Start a new picture: reset the notes, and use the engine again."""
        self._tally = _Tally()
        self._aside = False

    def notes(self) -> tuple[str, ...]:
        """Notes for the user about what happened since `begin`."""
        tally = self._tally
        notes = list(tally.notes)
        if tally.short_px:
            notes.insert(
                0, f"not enough memory for tiles of {tally.short_px} px, so tiles of {self.max_tile_px} px were used"
            )
        name = f"{self.runner.name} ({self.runner.precision} on {self.runner.device})"
        other = f" ({self._reference.name})" if self._reference.name else ""
        for fault, count in tally.again.items():
            returned = f"{name} returned {count} of {tally.tiles} tiles {_WORDS[fault]}"
            notes.append(f"{returned}; {'they were' if count > 1 else 'it was'} run again in float32 on the CPU{other}")
        if tally.spared:
            rest = f"the last {tally.spared} of {tally.tiles} tiles ran in float32 on the CPU"
            notes.append(f"{name} failed {PATIENCE} tiles in a row, so {rest}")
        notes += [
            f"the model itself returns tiles {_WORDS[own]} (float32 on the CPU agrees), so they were kept"
            for own in tally.own
        ]
        return tuple(notes)

    def fitted(self, tiling: Tiling, height: int, width: int) -> Tiling:
        """The planned `tiling` of a picture of (height, width), or smaller tiles if memory ran out since."""
        if self.max_tile_px is None or tiling.tile_px <= self.max_tile_px:
            return tiling
        runner = self.runner
        per_px = self.graph.activation_bytes_per_pixel * runner.memory_factor
        result = smaller_tiles(
            height,
            width,
            self.graph,
            tiling,
            tile_px=self.max_tile_px,
            bytes_per_px=per_px,
            exact=self.exact,
            grid_px=runner.grid_px,
        )
        note = narrow_note(WIDE_FIELD_PX, self.graph, result.work)
        if result.overlap_px < tiling.overlap_px and note not in self._tally.notes:
            self._tally.notes.append(note)
        return result

    def shrink(self, side: int, where: str, error: Exception) -> None:
        """Halve the side of all later tiles, after `error`: memory ran out for a tile that keeps `side` px.

        Raises `OutOfMemoryError`, naming the tile by `where`, if tiles cannot be smaller.
        """
        align = self.graph.alignment
        if side <= max(MIN_TILE_PX, align):
            reason = str(error).removesuffix("; try a smaller tile") or "not enough free memory"  # already tried
            raise OutOfMemoryError(
                f"{where}: {reason}. No smaller tile helps: close programs that use the memory, "
                "or use another `engine` (or `device='cpu'`), a smaller model, or a lower `memory_bytes`"
            ) from error
        self._tally.short_px = self._tally.short_px or side
        self.max_tile_px = -(-max(MIN_TILE_PX, -(-side // 2)) // align) * align

    def run(self, batches: Sequence[Array], where: str, room_bytes: int, *, alone: bool = False) -> list[Array]:
        """Run one tile: the results of its batches (1, c, h, w), all finite.

        batches: Three channels at once, or one channel each.
        where: Name of the tile in messages.
        room_bytes: Memory for activations when the reference runs.
        alone: Run in one thread; several threads may then call this at once.

        Raises `EngineError` naming the tile if an engine fails; lets `OutOfMemoryError` and `MemoryError` through.
        """
        with self._lock:
            self._tally.tiles += 1
            aside = self._aside
            self._tally.spared += aside
        if self.memory is not None and (known := self.memory.find(where, batches)) is not None:
            return known
        results = self._computed(batches, where, room_bytes, alone=alone, aside=aside)
        if self.memory is not None and not aside:
            self.memory.keep(where, batches, results)
        return results

    def _computed(
        self, batches: Sequence[Array], where: str, room_bytes: int, *, alone: bool, aside: bool
    ) -> list[Array]:
        if aside:
            return [self._reference(batch, room_bytes, where, self.runner.name) for batch in batches]
        engine = parallel_of(self.runner)[1] if alone else self.runner
        answers, faults = zip(*(self._judged(engine, batch, where, room_bytes) for batch in batches), strict=True)
        bad = [fault for fault in faults if fault is not None]
        with self._lock:
            if bad:
                self._tally.again[bad[0]] += 1
            self._in_a_row = self._in_a_row + 1 if bad else 0
            self._aside = self._in_a_row >= PATIENCE
        return list(answers)

    def _judged(
        self, engine: Callable[[Array], Array], lr: Array, where: str, room_bytes: int
    ) -> tuple[Array, Fault | None]:
        """The result to keep for `lr`, and the fault in the engine's own result, if any."""
        sr: Array | None = None
        try:
            sr = engine(lr)
        except NotFiniteError:
            fault: Fault | None = "not finite"
        except OutOfMemoryError:
            raise
        except EngineError as error:
            raise EngineError(f"{where}: {error}") from error
        else:
            fault = find_fault(lr, sr)
            if fault is None or self._own[fault] >= PATIENCE:
                return sr, None
        if sr is None or fault == "not finite" or not self._reference.confirms(lr, sr, fault):
            again = self._reference(lr, room_bytes, where, self.runner.name)
            if sr is None or fault == "not finite" or not agree(sr, again, self.graph.scale):
                return again, fault
        with self._lock:
            self._own[fault] += 1
            if self._own[fault] == 1:
                self._tally.own.append(fault)
        return sr, None  # not the reference's: within a picture, rounding stays that of one engine


def _run_copies(engine: Callable[[Array], Array], tile: Array, count: int) -> None:
    if count == 1:
        engine(tile)
        return
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(engine, [tile] * count):
            pass


def chain_speed(networks: Sequence[CheckedNetwork], macs: float, workers: int = 1, most_px: int = MOST_PX) -> float:
    """Measure the multiply-adds per second of a chain, each network weighted by its share of the work.

    workers: Tiles at once, where a network's engine can run so many. most_px: Their longest side.
    """
    seconds = total = 0.0
    pixels = 1.0
    for network in networks:
        work = pixels * network.graph.macs_per_pixel
        at_once = min(workers, parallel_of(network.runner)[0])
        seconds += work / network.macs_per_second(macs, at_once, most_px)
        total += work
        pixels *= network.graph.scale**2
    return total / seconds


def chain_notes(networks: Sequence[CheckedNetwork], *, engines: bool) -> tuple[str, ...]:
    """The notes of all networks, numbered in a chain, which are logged; before them, with `engines`, theirs."""
    count = len(networks)
    names = [f"network {place} of {count}: " if count > 1 else "" for place in range(1, count + 1)]
    notes = tuple(name + note for name, network in zip(names, networks, strict=True) for note in network.notes())
    for note in notes:
        _log.warning("%s", note)
    of_engines = dict.fromkeys(note for network in networks for note in network.runner.notes if engines)
    return (*of_engines, *notes)
