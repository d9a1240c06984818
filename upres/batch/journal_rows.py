"""The tables of a journal, and its rows as values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from upres.system.database import Schema

OPEN, RUNNING, DONE, FAILED, KEPT = range(5)
STATES = ("open", "running", "done", "failed", "kept")
CLASH = "clash"  # in place of the limits under which a picture failed: two pictures had one result
TRIES = 3  # to read a picture that changes meanwhile

SCHEMA = Schema(
    "journal",
    0x75707231,
    (
        (
            "CREATE TABLE jobs (id INTEGER PRIMARY KEY, settings TEXT NOT NULL UNIQUE, began TEXT NOT NULL)",
            "CREATE TABLE models (job INTEGER NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, engine TEXT NOT NULL,"
            " device TEXT NOT NULL, precision TEXT NOT NULL, PRIMARY KEY (job, name)) WITHOUT ROWID",
            "CREATE TABLE runs (id INTEGER PRIMARY KEY, job INTEGER NOT NULL, lock TEXT NOT NULL, began TEXT NOT NULL,"
            " host TEXT NOT NULL, process INTEGER NOT NULL, upres TEXT NOT NULL, active_s REAL NOT NULL DEFAULT 0,"
            " ended TEXT)",
            "CREATE TABLE pictures (id INTEGER PRIMARY KEY, job INTEGER NOT NULL, rank INTEGER NOT NULL,"
            " source NOT NULL, key NOT NULL, folder NOT NULL, target NOT NULL, wants NOT NULL, bytes INTEGER NOT NULL,"
            " mtime_ns INTEGER NOT NULL, state INTEGER NOT NULL, seen INTEGER NOT NULL, run INTEGER,"
            " replaces INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0, content TEXT, model TEXT,"
            " result TEXT, pixels INTEGER, seconds REAL, code INTEGER, reason TEXT, limits TEXT, UNIQUE (job, key))",
            f"CREATE INDEX left_open ON pictures (job, rank, source) WHERE state = {OPEN}",
            "CREATE INDEX by_target ON pictures (wants)",
            f"CREATE INDEX by_content ON pictures (content) WHERE state = {DONE}",
            f"CREATE INDEX in_hand ON pictures (run) WHERE state = {RUNNING}",
            "CREATE INDEX by_state ON pictures (job, state)",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as the search found it.

    rank: Place of its input among those given.
    source: Its path as it was named.
    key: Its path without links.
    folder: Its folder relative to the input folder.
    target: Of its result, relative to the output folder.
    wants: `target` as the file system tells names apart.
    size, mtime_ns: Of the file; -1 where there is none.
    """

    rank: int
    source: str
    key: str
    folder: str
    target: str
    wants: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Item:
    """A picture in the journal.

    run: The run that had it in hand last; None if none had, or it failed.
    replaces: Its result may replace a file that is there.
    content: SHA-256 of the source, when it was read last.
    model: What its result is, or will be, made with.
    result: SHA-256 of the result that was written.
    """

    id: int
    source: str
    key: str
    folder: str
    target: str
    size: int
    mtime_ns: int
    state: int
    run: int | None
    replaces: bool
    content: str | None
    model: str | None
    result: str | None


ITEM = "id, source, key, folder, target, bytes, mtime_ns, state, run, replaces, content, model, result"


def put(name: str) -> str | bytes:
    """A name for SQLite, whose texts are UTF-8: others are kept as bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def get(name: Any) -> str:
    """A name from SQLite."""
    return os.fsdecode(name) if isinstance(name, bytes) else name


def item_of(row: Sequence[Any]) -> Item:
    number, source, key, folder, target, size, mtime_ns, state, run, replaces, *rest = row
    names = (get(source), get(key), get(folder), get(target))
    return Item(number, *names, size, mtime_ns, state, run, bool(replaces), *rest)
