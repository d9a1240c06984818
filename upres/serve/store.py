"""Jobs, their events and their files on disk: what survives the end of the server.

In the folder are `jobs.sqlite`, `pictures/SHA256` (a picture is stored once, however many jobs use it), `results/KEY`,
and `incoming/`, whose files belong to the running process.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from upres.serve.job import Job, Record, from_record, to_record
from upres.system.database import Schema, open_or_set_aside
from upres.system.files import flush_folder, output_error, write_atomic
from upres.system.lock import FileGuard
from upres.system.text import parse_json

_SCHEMA = Schema(
    "list of jobs",
    0x75707376,
    (
        (
            "CREATE TABLE jobs (owner TEXT, id TEXT, created REAL, record TEXT, PRIMARY KEY (owner, id)) WITHOUT ROWID",
            "CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT, job TEXT, kind TEXT, "
            "record TEXT)",
            "CREATE INDEX events_of_a_job ON events (owner, job)",
            "CREATE TABLE speeds (name TEXT PRIMARY KEY, value REAL) WITHOUT ROWID",
        ),
    ),
)


class Store:
    """The stored jobs of one server. A folder belongs to one server at a time.

    folder: Created if it is missing.

    Raises `UsageError` if another server uses it, `OutputError` if it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures, self.results, self.incoming = (folder / name for name in ("pictures", "results", "incoming"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._guard = FileGuard(
                folder / ".upres.lock", f"another server uses {folder}; give this one its own folder with `data`"
            )
            shutil.rmtree(self.incoming, ignore_errors=True)
            for one in (self.pictures, self.results, self.incoming):
                one.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        self.database, self.note = open_or_set_aside(folder / "jobs.sqlite", _SCHEMA)

    def close(self) -> None:
        self.database.close()
        self._guard.release()

    def secret(self) -> bytes:
        """The key of this folder's sessions; readable by its owner only."""
        path = self.folder / "session.key"
        with suppress(OSError):
            key = path.read_bytes()
            if len(key) == 32:
                return key
        key = secrets.token_bytes(32)
        write_atomic(path, key, secret=True)
        return key

    def jobs(self) -> list[Job]:
        """All stored jobs, oldest first."""
        rows = self.database.query("SELECT record FROM jobs ORDER BY created")
        return [from_record(parse_json(text)) for (text,) in rows]

    def add(self, job: Job, kind: str, event: Record) -> int:
        """Store a job and its event in one transaction, flushed. Returns the event's number."""
        with self.database.transaction() as run:
            run.execute(
                "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?)",
                (job.owner, job.id, job.created_at, json.dumps(to_record(job))),
            )
            run.execute(
                "INSERT INTO events (owner, job, kind, record) VALUES (?, ?, ?, ?)",
                (job.owner, job.id, kind, json.dumps(event)),
            )
            assert run.lastrowid is not None
            return run.lastrowid

    def remove(self, job: Job, event: Record | None) -> int | None:
        """Forget a job and its events; store the event "removed". Returns its number."""
        number = None
        with self.database.transaction() as run:
            run.execute("DELETE FROM jobs WHERE owner = ? AND id = ?", (job.owner, job.id))
            run.execute("DELETE FROM events WHERE owner = ? AND job = ?", (job.owner, job.id))
            if event is not None:
                run.execute(
                    "INSERT INTO events (owner, job, kind, record) VALUES (?, ?, 'removed', ?)",
                    (job.owner, job.id, json.dumps(event)),
                )
                number = run.lastrowid
        with suppress(OSError):
            self.result_path(job).unlink()
        return number

    def events(self, owner: str, after: int, job: str | None = None) -> list[tuple[int, str, str]]:
        """(number, kind, record as JSON) of the events of an owner, or of one job, after a number."""
        which, values = ("", (owner, after)) if job is None else (" AND job = ?", (owner, after, job))
        return [
            (int(number), str(kind), str(record))
            for number, kind, record in self.database.query(
                f"SELECT number, kind, record FROM events WHERE owner = ? AND number > ?{which} ORDER BY number", values
            )
        ]

    def last_event(self) -> int:
        """The number of the newest event; 0 before the first."""
        rows = self.database.query("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
        return int(rows[0][0]) if rows else 0

    def speeds(self) -> dict[str, float]:
        """What was measured on this machine, by name."""
        return {str(name): float(value) for name, value in self.database.query("SELECT name, value FROM speeds")}

    def save_speeds(self, speeds: Mapping[str, float]) -> None:
        self.database.write_many("INSERT OR REPLACE INTO speeds VALUES (?, ?)", list(speeds.items()))

    def picture_path(self, sha256: str) -> Path:
        return self.pictures / sha256

    def result_path(self, job: Job) -> Path:
        return self.results / job.key

    def incoming_path(self) -> Path:
        """A new name for an upload."""
        return self.incoming / secrets.token_hex(12)

    def keep_picture(self, upload: Path, sha256: str) -> None:
        """Move an upload to its place. Raises `OutputError`."""
        target = self.picture_path(sha256)
        try:
            if target.exists():
                upload.unlink()
                os.utime(target)  # younger than the sweep looks for
                return
            upload.replace(target)
        except OSError as error:
            raise output_error(target, error) from error

    def flush_picture(self, sha256: str) -> None:
        """Have the disk keep a picture, whatever happens to the machine. Raises `OutputError`."""
        target = self.picture_path(sha256)
        try:
            with target.open("rb") as file:
                os.fsync(file.fileno())
            flush_folder(target.parent)
        except OSError as error:
            raise output_error(target, error) from error

    def sweep(self, jobs: Iterable[Job], held: Iterable[str], young_s: float = 60.0) -> None:
        """Remove files that no job uses, unless they are held or younger than `young_s`."""
        jobs = list(jobs)
        known = {job.picture["sha256"] for job in jobs} | {job.key for job in jobs} | set(held)
        before = time.time() - young_s
        for folder in (self.pictures, self.results):
            for entry in os.scandir(folder):
                with suppress(OSError):
                    if entry.name not in known and entry.stat().st_mtime < before:
                        Path(entry.path).unlink()

    def used_bytes(self) -> int:
        """Bytes of pictures and results."""
        total = 0
        for folder in (self.pictures, self.results):
            for entry in os.scandir(folder):
                with suppress(OSError):
                    total += entry.stat().st_size
        return total
