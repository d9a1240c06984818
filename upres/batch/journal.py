"""The journal of a folder of results: which pictures are open, done or failed, made from what and with what.

An SQLite file beside the results (`NAME`). A picture is known by its settings and its path; its content, the model's
and the result's are hashed, so that what has changed, moved or is damaged can be told. Durations are measured by a
clock that never jumps.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from upres.batch.journal_rows import (
    DONE,
    FAILED,
    ITEM,
    KEPT,
    OPEN,
    RUNNING,
    SCHEMA,
    TRIES,
    Item,
    Seen,
    item_of,
    put,
)
from upres.batch.pace import Pace
from upres.system.database import open_or_set_aside
from upres.system.lock import is_held
from upres.system.packages import version_of

NAME = ".upres-journal.sqlite"


class Journal:
    """The journal in `folder`, opened or begun. Raises as `system.database.Database`.

    folder: Of the results; it must exist.
    name: Of the file: one for each shard.

    `note` tells the user of a damaged journal that was set aside.
    """

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self.folder, self.path = folder, folder / name
        self.data, self.note = open_or_set_aside(self.path, SCHEMA)
        self.job = self.run = 0
        self.is_new_job = False
        self._pace = Pace()

    def begin(self, settings: Mapping[str, str], lock: str) -> None:
        """Begin a run of the job with these settings; what runs of ended processes had in hand is open again.

        lock: Name of the lock file, in the folder, that this process holds while it runs.
        """
        now, text = _now(), json.dumps(dict(settings), sort_keys=True)
        dead = [
            run for run, name in self.data.query("SELECT id, lock FROM runs WHERE ended IS NULL") if self._dead(name)
        ]
        with self.data.transaction() as work:
            self.is_new_job = (
                work.execute("INSERT OR IGNORE INTO jobs (settings, began) VALUES (?, ?)", (text, now)).rowcount > 0
            )
            (self.job,) = work.execute("SELECT id FROM jobs WHERE settings = ?", (text,)).fetchone()
            for run in dead:
                work.execute("UPDATE pictures SET state = ? WHERE run = ? AND state = ?", (OPEN, run, RUNNING))
                work.execute("UPDATE runs SET ended = ? WHERE id = ?", (now, run))
            work.execute(
                "INSERT INTO runs (job, lock, began, host, process, upres) VALUES (?, ?, ?, ?, ?, ?)",
                (self.job, lock, now, platform.node(), os.getpid(), version_of("upres") or "unknown"),
            )
            self.run = work.lastrowid or 0

    def _dead(self, lock: str) -> bool:
        if lock != Path(lock).name or "\0" in lock:  # of a damaged journal: no lock of ours, and no other place's file
            return True
        return not is_held(self.folder / lock)

    def forget_unfinished_others(self) -> None:
        """Drop what other jobs have not done: this one takes their place."""
        self.data.write("DELETE FROM pictures WHERE job != ? AND state != ?", (self.job, DONE))

    def withdraw(self) -> None:
        """End a run that was refused: a job that it began is forgotten."""
        with self.data.transaction() as work:
            if self.is_new_job:
                work.execute("DELETE FROM pictures WHERE job = ?", (self.job,))
                work.execute("DELETE FROM jobs WHERE id = ?", (self.job,))
            work.execute("DELETE FROM runs WHERE id = ?", (self.run,))

    def see(self, found: Iterable[Seen], *, replace: bool, retry: bool, limits: str) -> None:
        """Enter pictures that were found: new ones are open, and so are those that have changed or shall be done again.

        replace: All of them, and their results may replace those that are there.
        retry: Also those that failed.
        limits: Under which the run works; what failed under others is tried again.
        """
        again = (
            f"bytes != excluded.bytes OR mtime_ns != excluded.mtime_ns OR target != excluded.target OR state = {KEPT}"
            f" OR (state = {FAILED} AND ({int(retry)} OR limits IS NOT ?)) OR {int(replace)}"
        )
        self.data.write_many(
            "INSERT INTO pictures"
            " (rank, source, key, folder, target, wants, bytes, mtime_ns, job, state, seen, replaces)"
            f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {OPEN}, ?, {int(replace)}) ON CONFLICT (job, key) DO UPDATE SET"
            f" state = CASE WHEN state = {RUNNING} THEN state WHEN {again} THEN {OPEN} ELSE state END,"
            f" replaces = max(replaces * (state != {DONE}), {int(replace)}), tries = 0, rank = excluded.rank,"
            " source = excluded.source, folder = excluded.folder, target = excluded.target, wants = excluded.wants,"
            " bytes = excluded.bytes, mtime_ns = excluded.mtime_ns, seen = excluded.seen",
            (
                (
                    *(one.rank, put(one.source), put(one.key), put(one.folder), put(one.target), put(one.wants)),
                    *(one.size, one.mtime_ns, self.job, self.run, limits),
                )
                for one in found
            ),
        )

    def remove(self, item: Item) -> None:
        """Forget a picture."""
        self.data.write("DELETE FROM pictures WHERE id = ?", (item.id,))

    def forget_vanished(self) -> None:
        """Forget pictures that are gone and have no result."""
        gone = [
            (item.id,)
            for item in self.stream(
                "job = ? AND seen < ? AND state IN (?, ?, ?)", (self.job, self.run, OPEN, FAILED, KEPT)
            )
            if not Path(item.key).exists()
        ]
        self.data.write_many("DELETE FROM pictures WHERE id = ?", gone)

    def item(self, number: int) -> Item:
        """A picture by its number."""
        return self.items("id = ?", (number,))[0]

    def stream(self, where: str, values: Sequence[object]) -> Iterator[Item]:
        """Pictures, a few at a time."""
        for row in self.data.stream(f"SELECT {ITEM} FROM pictures WHERE {where}", values):
            yield item_of(row)

    def in_state(self, state: int) -> Iterator[Item]:
        """The pictures of this run in a state, in the order of their numbers, read a few at a time.

        Their state may be changed meanwhile.
        """
        last = 0
        while True:
            items = self.items(
                "job = ? AND seen >= ? AND state = ? AND id > ? ORDER BY id LIMIT 500",
                (self.job, self.run, state, last),
            )
            if not items:
                return
            yield from items
            last = items[-1].id

    def claim(self, most: int) -> list[Item]:
        """Take the next pictures, which no other process gets then."""
        with self.data.transaction() as work:
            rows = work.execute(
                f"SELECT {ITEM} FROM pictures WHERE job = ? AND state = {OPEN} AND seen >= ?"
                " ORDER BY rank, source LIMIT ?",
                (self.job, self.run, most),
            ).fetchall()
            taken = [(RUNNING, self.run, row[0]) for row in rows]
            work.executemany("UPDATE pictures SET state = ?, run = ? WHERE id = ?", taken)
        return [item_of(row) for row in rows]

    def release(self) -> None:
        """What this run has in hand is open again."""
        self.data.write("UPDATE pictures SET state = ? WHERE run = ? AND state = ?", (OPEN, self.run, RUNNING))

    def note_all(self, found: Iterable[tuple[Item, str | None]]) -> None:
        """Keep what the sources are (size, time, content) and the model that was chosen for each: (picture, model)."""
        rows = [(item.size, item.mtime_ns, item.content, model, item.id) for item, model in found]
        self.data.write_many("UPDATE pictures SET bytes = ?, mtime_ns = ?, content = ?, model = ? WHERE id = ?", rows)

    def replace(self, item: Item) -> None:
        """Its result may replace the file that is there."""
        self.data.write("UPDATE pictures SET replaces = 1 WHERE id = ?", (item.id,))

    def done(self, item: Item, result: str, pixels: int, seconds: float) -> None:
        """Its result, with the hash `result`, is written."""
        with self.data.transaction() as work:
            work.execute(
                "UPDATE pictures SET state = ?, run = ?, result = ?, pixels = ?, seconds = ?, replaces = 0,"
                " code = NULL, reason = NULL, limits = NULL WHERE id = ?",
                (DONE, self.run, result, pixels, seconds, item.id),
            )
            work.execute(
                "DELETE FROM pictures WHERE id != ? AND state = ?"
                " AND wants = (SELECT wants FROM pictures WHERE id = ?)",
                (item.id, DONE, item.id),  # of another job, or of a picture that is gone: its result was replaced
            )
            work.execute("UPDATE runs SET active_s = ? WHERE id = ?", (self._pace.add(pixels), self.run))

    def failed(self, item: Item, code: int, reason: str, limits: str | None) -> None:
        """It cannot be done. limits: Those of the run, or `CLASH`; None: it is tried again at every run."""
        self.all_failed([(item, code, reason, limits)])

    def all_failed(self, failures: Iterable[tuple[Item, int, str, str | None]]) -> None:
        """`failed` of several, in one transaction: each is flushed to the disk. Keeps what their sources are."""
        rows = [
            (FAILED, code, reason, limits, item.size, item.mtime_ns, item.content, item.id)
            for item, code, reason, limits in failures
        ]
        self.data.write_many(
            "UPDATE pictures SET state = ?, run = NULL, code = ?, reason = ?, limits = ?, bytes = ?, mtime_ns = ?,"
            " content = ? WHERE id = ?",
            rows,
        )

    def kept(self, item: Item, reason: str) -> None:
        """A file that is there was kept in place of its result."""
        self.data.write("UPDATE pictures SET state = ?, reason = ? WHERE id = ?", (KEPT, reason, item.id))

    def lost(self, item: Item) -> None:
        """Its result is gone: it is open again."""
        self.data.write("UPDATE pictures SET state = ?, run = NULL, result = NULL WHERE id = ?", (OPEN, item.id))

    def still_done(self, item: Item) -> None:
        """Its source was touched, but is as it was."""
        self.data.write("UPDATE pictures SET state = ? WHERE id = ?", (DONE, item.id))

    def reopen(self, item: Item) -> bool:
        """Open again, since the source changed meanwhile; False if that happened too often in this run."""
        changed = self.data.write(
            "UPDATE pictures SET state = ?, tries = tries + 1, replaces = 1 WHERE id = ? AND tries < ?",
            (OPEN, item.id, TRIES),
        )
        return changed > 0

    def move(self, item: Item, twin: Item, result: str, pixels: int) -> None:
        """The result of `twin`, which is gone, is the one of `item` now."""
        self.done(item, result, pixels, 0.0)
        self.remove(twin)

    def count(self, *states: int) -> int:
        """Pictures of this run in these states."""
        marks = ", ".join("?" * len(states))
        return self.data.query(
            f"SELECT count(*) FROM pictures WHERE job = ? AND seen >= ? AND state IN ({marks})",
            (self.job, self.run, *states),
        )[0][0]

    def end(self) -> None:
        """End the run and close the file."""
        self.data.write("UPDATE runs SET ended = ? WHERE id = ?", (_now(), self.run))
        self.data.close()

    def items(self, where: str, values: Sequence[object]) -> list[Item]:
        """The pictures for which a condition holds."""
        return [item_of(row) for row in self.data.query(f"SELECT {ITEM} FROM pictures WHERE {where}", values)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
