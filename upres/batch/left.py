"""How many output pixels are left of a job: from the headers of some of its pictures.

A drawing takes a tenth of the bytes of a photograph, so bytes alone are wrong by several times where one kind follows
the other. What a result of a header has is known from the job's settings, and set right by results that are done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from upres.batch.journal_rows import DONE, OPEN, RUNNING, get
from upres.errors import UpresError
from upres.images.io import read_header
from upres.system.database import Database
from upres.system.storage import is_url
from upres.upscaling.output_size import OutputSize

_OPEN_SAMPLE, _DONE_SAMPLE = 400, 100
_LONGEST_S = 1.5  # that reading headers may take, of each of the two samples
_NATIVE = 4  # a guess, which results that are done set right


def pixels_left(data: Database) -> float | None:
    """Output pixels of what is open; None if nothing tells."""
    ((count,),) = data.query("SELECT count(*) FROM pictures WHERE state IN (?, ?)", (OPEN, RUNNING))
    if not count:
        return 0.0
    known = _by_headers(data, count)
    return _by_bytes(data) if known is None else known


def _by_headers(data: Database, count: int) -> float | None:
    sizes = {number: _size_of(json.loads(text)) for number, text in data.query("SELECT id, settings FROM jobs")}
    ((done,),) = data.query("SELECT count(*) FROM pictures WHERE state = ? AND pixels > 0", (DONE,))
    finished = list(_sample(data, f"state = {DONE} AND pixels > 0", done, _DONE_SAMPLE, sizes))
    waiting = list(_sample(data, f"state IN ({OPEN}, {RUNNING})", count, _OPEN_SAMPLE, sizes))
    if not finished or not waiting:
        return None
    made, guessed = sum(pixels for pixels, _ in finished), sum(expected for _, expected in finished)
    return count * sum(expected for _, expected in waiting) / len(waiting) * made / guessed


def _sample(
    data: Database, where: str, count: int, most: int, sizes: dict[int, OutputSize]
) -> Iterator[tuple[int, int]]:
    """(pixels of the result, pixels that the header makes us expect) of some pictures, spread evenly."""
    every = max(1, count // most)
    rows = data.query(
        f"SELECT job, key, pixels FROM pictures WHERE {where} AND id * 2654435761 % 4294967296 % ? = 0 LIMIT ?",
        (every, 2 * most),
    )
    until = time.monotonic() + _LONGEST_S
    for job, key, pixels in rows:
        if time.monotonic() > until:
            return
        path = get(key)
        try:
            header = None if is_url(path) else read_header(Path(path))
        except (UpresError, OSError):  # it fails in the job too, or will
            continue
        if header is not None:
            height, width = sizes[job].resolve(header.height, header.width, native=_NATIVE)
            yield pixels or 0, height * width


def _size_of(settings: dict[str, str]) -> OutputSize:
    """The size that the settings of a job ask for."""
    factor, megapixels = (float(settings[name]) if name in settings else None for name in ("factor", "megapixels"))
    width, height, long_side = (
        int(settings[name]) if name in settings else None for name in ("width", "height", "long_side")
    )
    return OutputSize(factor, width, height, long_side, megapixels)


def _by_bytes(data: Database) -> float | None:
    """By the bytes of the files, and the results of others with their suffix."""
    rows = data.query(
        "SELECT lower(substr(source, -4)), total(CASE WHEN state IN (?, ?) THEN max(bytes, 0) END),"
        " total(CASE WHEN state = ? AND pixels > 0 THEN pixels END),"
        " total(CASE WHEN state = ? AND pixels > 0 THEN bytes END) FROM pictures GROUP BY 1",
        (OPEN, RUNNING, DONE, DONE),
    )
    pixels, size = sum(row[2] for row in rows), sum(row[3] for row in rows)
    if not size:
        return None
    return sum(open_bytes * (made / read if read else pixels / size) for _, open_bytes, made, read in rows)
