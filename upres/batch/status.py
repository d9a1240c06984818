"""How far the jobs of a folder are, read from its journals at any time, also while they run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upres.batch.journal import NAME
from upres.batch.journal_rows import DONE, FAILED, KEPT, OPEN, RUNNING, SCHEMA, STATES, get
from upres.batch.left import pixels_left
from upres.errors import InputError, OutputError
from upres.system.database import Database
from upres.system.lock import is_held

_PATTERN = NAME.replace(".sqlite", "*.sqlite")


@dataclass(frozen=True, slots=True)
class Status:
    """The state of all jobs in a folder.

    pictures: Their numbers by state: "open", "running", "done", "failed", "kept".
    pixels: Of the results that were made, in all.
    seconds: That networks and resizes took for them.
    speed: Output pixels a second of the runs that are alive, else of the last one; None before the first result.
    left_s: Seconds until all is done at that speed; None if unknown.
    runs: How many processes work on it now.
    settings: Of each job.
    """

    pictures: Counter[str]
    pixels: int
    seconds: float
    speed: float | None
    left_s: float | None
    runs: int
    settings: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class PictureStatus:
    """A picture of a job; None where it is not known yet.

    source: Its path, as it was named.
    target: Of its result, relative to the folder.
    state: One of `STATES`.
    model: Name or expression.
    pixels: Of the result; 0 where it was there already.
    seconds: That the network and the resize took.
    code: Exit code of its failure.
    reason: Why it failed, or was kept.
    source_sha256, result_sha256: Of the files.
    """

    source: str
    target: str
    state: str
    model: str | None = None
    pixels: int | None = None
    seconds: float | None = None
    code: int | None = None
    reason: str | None = None
    source_sha256: str | None = None
    result_sha256: str | None = None


def journals(folder: Path) -> list[Path]:
    """The journals in a folder: one, or one for each shard. Raises `InputError` if there are none."""
    found = sorted(folder.glob(_PATTERN)) if folder.is_dir() else []
    if not found:
        raise InputError(f"{folder} has no journal of a job; name the output folder of `upres upscale`")
    return found


def read_status(folder: Path) -> Status:
    """The state of the jobs in `folder`. Raises `InputError` if there are none, `DamagedError`."""
    pictures, settings = Counter[str](), list[dict[str, str]]()
    pixels, seconds, left, speed, runs, known = 0, 0.0, 0.0, 0.0, 0, True
    for path in journals(folder):
        with Database(path, SCHEMA, reading=True) as data:
            for state, count in data.query("SELECT state, count(*) FROM pictures GROUP BY state"):
                pictures[STATES[state]] += count
            settings += [json.loads(text) for (text,) in data.query("SELECT settings FROM jobs ORDER BY id")]
            ((more_pixels, more_seconds),) = data.query(
                "SELECT total(pixels), total(seconds) FROM pictures WHERE state = ?", (DONE,)
            )
            pixels, seconds = pixels + round(more_pixels), seconds + more_seconds
            more_left = pixels_left(data)
            of_runs, alive = _speed(data, folder)
            known &= more_left == 0.0 or (more_left is not None and of_runs > 0.0)
            if more_left and of_runs:
                left = max(left, more_left / of_runs)  # shards run side by side
            speed, runs = speed + of_runs, runs + alive
    return Status(pictures, pixels, seconds, speed or None, left if known else None, runs, tuple(settings))


def _speed(data: Database, folder: Path) -> tuple[float, int]:
    """(output pixels a second of the runs that are alive, else of the last one; how many are alive)."""
    runs = data.query(
        "SELECT runs.lock, runs.active_s, total(pictures.pixels), runs.ended FROM runs LEFT JOIN pictures"
        " ON pictures.run = runs.id AND pictures.state = ? GROUP BY runs.id ORDER BY runs.id",
        (DONE,),
    )
    alive = [run for run in runs if run[3] is None and _is_held(folder / run[0])]
    working = [(pixels, active_s) for _, active_s, pixels, _ in alive or runs if pixels and active_s]
    if not alive:
        working = working[-1:]
    return sum(pixels / active_s for pixels, active_s in working), len(alive)


def _is_held(lock: Path) -> bool:
    try:
        return lock.exists() and is_held(lock)
    except OutputError:  # in a folder that cannot be written nobody works
        return False


def pictures(folder: Path, *states: int) -> Iterator[PictureStatus]:
    """The pictures of the jobs in `folder` in these states (all without any), in the order of their names."""
    wanted = states or (OPEN, RUNNING, DONE, FAILED, KEPT)
    for path in journals(folder):
        with Database(path, SCHEMA, reading=True) as data:
            marks = ", ".join("?" * len(wanted))
            rows = data.stream(
                "SELECT source, target, state, model, pixels, seconds, code, reason, content, result FROM pictures"
                f" WHERE state IN ({marks}) ORDER BY job, rank, source",
                wanted,
            )
            with closing(rows):
                for row in rows:
                    yield _picture(row)


def _picture(row: tuple[Any, ...]) -> PictureStatus:
    state: int
    source, target, state, model, pixels, seconds, code, reason, content, result = row
    if state != FAILED:
        code = None
    if state not in (FAILED, KEPT):
        reason = None
    return PictureStatus(get(source), get(target), STATES[state], model, pixels, seconds, code, reason, content, result)
