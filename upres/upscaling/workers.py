"""Run tiles at once, in threads of this process: engines release Python's lock while they compute."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from upres.engines.tiles import Tile
from upres.errors import OutOfMemoryError

_WAKE_S = 0.2  # Ctrl-C interrupts a wait at once on POSIX, on Windows after it


def run_at_once(
    workers: int, left: list[Tile], run: Callable[[Tile], None], finished: Callable[[Tile], None]
) -> Exception | None:
    """Run all tiles of `left`, from its end, `workers` at a time. Finished tiles are taken from the list.

    run: Computes one tile, in a thread of its own.
    finished: Called in the caller's thread after each tile.

    Returns None, or the `OutOfMemoryError` or `MemoryError` of a tile, which is then the last of `left`. After any
    exception no other tile is started, and those that run are waited for; any other exception is raised.
    """
    if workers == 1:
        return _run_in_turn(left, run, finished)
    running: dict[Future[None], Tile] = {}
    short: Exception | None = None
    with ThreadPoolExecutor(workers, thread_name_prefix="upres-tile") as pool:
        while running or (left and short is None):
            while left and short is None and len(running) < workers:
                tile = left.pop()
                running[pool.submit(run, tile)] = tile
            done, _ = wait(running, timeout=_WAKE_S, return_when=FIRST_COMPLETED)
            for future in done:
                tile = running.pop(future)
                error = future.exception()
                if error is None:
                    finished(tile)
                elif isinstance(error, OutOfMemoryError | MemoryError):
                    left.append(tile)
                    short = error
                else:
                    raise error
    return short


def _run_in_turn(left: list[Tile], run: Callable[[Tile], None], finished: Callable[[Tile], None]) -> Exception | None:
    while left:
        try:
            run(left[-1])
        except (OutOfMemoryError, MemoryError) as error:
            return error
        finished(left.pop())
    return None
