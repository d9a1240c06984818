"""A network and the engine that runs it, and what is done where the engine fails a tile.

A tile that cannot be right (`tile_check`) is run again in float32 on the CPU by `reference`, another algorithm on another device, which is
made when it is first needed. Where that one agrees, the model itself is so, and the answer is kept. An engine that fails several tiles in a
row is put aside for the rest of the picture; the next picture begins with it again, because the fault may lie in what the picture holds.
Memory that was short is remembered: later tiles are no larger than those that fitted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from upres.engines.runner import Runner, device_bytes_of
from upres.errors import EngineError, NotFiniteError, OutOfMemoryError
from upres.graph.nodes import Array
from upres.graph.opaque import Network
from upres.upscaling.plan import MIN_TILE_PX, WIDE_FIELD_PX, NetworkCost, Tiling, choose_tiling, narrow_note, smaller_tiles
from upres.upscaling.tile_check import Fault, agree, find_fault
from upres.upscaling.tiles import plan as plan_tiles

PATIENCE = 3  # bad tiles in a row that an engine is allowed, and bad tiles that the model is found to make itself before they are believed
_WORDS: dict[Fault, str] = {
    "not finite": "not finite",
    "flat": "flat where the picture is not",
    "far from its input's mean": "far from the picture's mean",
}


@dataclass(slots=True)
class _Tally:
    """What happened in one picture."""

    tiles: int = 0
    again: Counter[Fault] = field(default_factory=Counter[Fault])
    spared: int = 0  # tiles that were not given to the engine any more
    own: list[Fault] = field(default_factory=list[Fault])  # what the model was found to do itself
    short_px: int = 0  # side of the first tile for which memory was short
    notes: list[str] = field(default_factory=list[str])


class CheckedNetwork:
    """`exact` forbids to cut the overlap of tiles. `reference` makes the runner that has the last word. See `Upscaler` for the rest."""

    def __init__(self, graph: Network, runner: Runner, reference: Callable[[], Runner], *, exact: bool = False) -> None:
        self.graph, self.runner, self.exact = graph, runner, exact
        self.max_tile_px: int | None = None
        self._make_reference = reference
        self._reference: Runner | None = None
        self._in_a_row = 0
        self._aside = False
        self._own: Counter[Fault] = Counter()
        self._tally = _Tally()

    @property
    def cost(self) -> NetworkCost:
        """What plans must know of it now."""
        free = device_bytes_of(self.runner)
        return NetworkCost(self.graph, self.runner.memory_factor, self.runner.grid_px, free, self.max_tile_px)

    def close(self) -> None:
        """Free the engines' memory."""
        self.runner.close()
        if self._reference is not None:
            self._reference.close()
            self._reference = None

    def macs_per_second(self, macs: float) -> float:
        """The engine's speed, measured with one gray tile of about that many multiply-adds."""
        graph = self.graph
        side = int(np.clip(np.sqrt(macs / graph.macs_per_pixel), 16, 512))
        while True:
            side = max(1, side // graph.alignment) * graph.alignment
            tile = np.full((1, graph.in_channels, side, side), 0.5, np.float32)
            start = time.perf_counter()
            try:
                self.runner(tile)
            except NotFiniteError:  # only the time is asked for; the tiles of a picture will be run again
                pass
            except (OutOfMemoryError, MemoryError):
                if side <= MIN_TILE_PX:
                    raise
                side //= 2
                continue
            return graph.macs_per_pixel * side * side / max(time.perf_counter() - start, 1e-6)

    def begin(self) -> None:
        """A new picture: nothing has happened yet."""
        self._tally = _Tally()
        self._aside = False

    def notes(self) -> tuple[str, ...]:
        """What happened since `begin` that the user should know."""
        tally = self._tally
        notes = list(tally.notes)
        if tally.short_px:
            notes.insert(0, f"memory was short for tiles of {tally.short_px} px: the rest ran in tiles of {self.max_tile_px} px")
        name = f"{self.runner.name} ({self.runner.precision} on {self.runner.device})"
        other = "" if self._reference is None else f" ({self._reference.name})"
        for fault, count in tally.again.items():
            verb = "were" if count > 1 else "was"
            text = f"{count} of {tally.tiles} tiles came back {_WORDS[fault]} from {name} and {verb} run again in float32 on the CPU{other}"
            notes.append(text)
        if tally.spared:
            rest = f"{tally.spared} of {tally.tiles} tiles ran in float32 on the CPU at once"
            notes.append(f"{name} failed {PATIENCE} tiles or more in a row: {rest}")
        notes += [f"the model itself gives tiles that are {_WORDS[own]} (float32 on the CPU agrees): they are kept" for own in tally.own]
        return tuple(notes)

    def fitted(self, tiling: Tiling, height: int, width: int) -> Tiling:
        """`tiling` of a picture of (height, width) as it was planned, or in smaller tiles where memory was short since."""
        if self.max_tile_px is None or tiling.tile_px <= self.max_tile_px:
            return tiling
        runner = self.runner
        per_px = self.graph.activation_bytes_per_pixel * runner.memory_factor
        result = smaller_tiles(
            height, width, self.graph, tiling, tile_px=self.max_tile_px, bytes_per_px=per_px, exact=self.exact, grid_px=runner.grid_px
        )
        note = narrow_note(WIDE_FIELD_PX, self.graph)
        if result.overlap_px < tiling.overlap_px and note not in self._tally.notes:
            self._tally.notes.append(note)
        return result

    def shrink(self, side: int, where: str, error: Exception) -> None:
        """Memory was short for tiles that keep `side` px: halve it for all that follow. `OutOfMemoryError` where no smaller one is made."""
        align = self.graph.alignment
        if side <= max(MIN_TILE_PX, align):
            reason = str(error).removesuffix("; try a smaller tile") or "not enough free memory"  # that was done
            raise OutOfMemoryError(
                f"{where}: {reason}. No smaller tile helps: close programs that use the memory, "
                "or take another `engine` (or `device='cpu'`), a smaller model, or less for the rest with `memory_bytes`"
            ) from error
        self._tally.short_px = self._tally.short_px or side
        self.max_tile_px = -(-max(MIN_TILE_PX, -(-side // 2)) // align) * align

    def run(self, batches: Sequence[Array], where: str, room_bytes: int) -> list[Array]:
        """The answers for the batches (1, c, h, w) of one tile, all finite.

        `where` names the tile in an `EngineError`; a run in float32 keeps to `room_bytes`. `OutOfMemoryError` and `MemoryError` come
        through.
        """
        self._tally.tiles += 1
        if self._aside:
            self._tally.spared += 1
            return [self._in_float32(batch, where, room_bytes) for batch in batches]
        answers, faults = zip(*(self._judged(batch, where, room_bytes) for batch in batches), strict=True)
        bad = [fault for fault in faults if fault is not None]
        if bad:
            self._tally.again[bad[0]] += 1
        self._in_a_row = self._in_a_row + 1 if bad else 0
        self._aside = self._in_a_row >= PATIENCE
        return list(answers)

    def _judged(self, lr: Array, where: str, room_bytes: int) -> tuple[Array, Fault | None]:
        """The answer for `lr`, and what was wrong with the engine's own."""
        sr: Array | None = None
        try:
            sr = self.runner(lr)
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
        again = self._in_float32(lr, where, room_bytes)
        if sr is None or fault == "not finite" or not agree(sr, again, self.graph.scale):
            return again, fault
        self._own[fault] += 1
        if self._own[fault] == 1:
            self._tally.own.append(fault)
        return sr, None  # not the other: within a picture, rounding stays that of one engine

    def _in_float32(self, lr: Array, where: str, room_bytes: int) -> Array:
        """The last word on `lr`. Raises `NotFiniteError` where it is not finite."""
        if self._reference is None:
            self._reference = self._make_reference()
        cause: NotFiniteError | None = None
        try:
            sr = self._in_tiles(self._reference, lr, room_bytes)
            if find_fault(lr, sr) != "not finite":
                return sr
        except NotFiniteError as error:
            cause = error
        except OutOfMemoryError:
            raise
        except EngineError as error:
            raise EngineError(f"{where}: {error}") from error
        raise NotFiniteError(
            f"{self.runner.name} gave values that are not finite for {where}, and so did {self._reference.name} in float32: "
            "the model is at fault (its file may be damaged); try another model"
        ) from cause

    def _in_tiles(self, reference: Runner, lr: Array, room_bytes: int) -> Array:
        """The reference may take more memory than the engine for which the tile was made."""
        graph, scale = self.graph, self.graph.scale
        height, width = lr.shape[2:]
        per_px = graph.activation_bytes_per_pixel * reference.memory_factor
        tiling = choose_tiling(
            height, width, graph, room_bytes=room_bytes, bytes_per_px=per_px, tile_px=None, exact=self.exact, grid_px=reference.grid_px
        )
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
        result = np.empty((1, graph.out_channels, height * scale, width * scale), np.float32)
        for tile in tiles:
            source = lr[:, :, tile.source_top : tile.source_bottom, tile.source_left : tile.source_right]
            sr = reference(np.ascontiguousarray(source))
            rows = slice((tile.keep_top - tile.source_top) * scale, (tile.keep_bottom - tile.source_top) * scale)
            columns = slice((tile.keep_left - tile.source_left) * scale, (tile.keep_right - tile.source_left) * scale)
            result[:, :, tile.keep_top * scale : tile.keep_bottom * scale, tile.keep_left * scale : tile.keep_right * scale] = sr[
                :, :, rows, columns
            ]
        return result
