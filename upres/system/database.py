"""SQLite files of ours: the one place that opens them. Every failure comes out as one of our errors.

WAL, so that readers never wait for a writer; each transaction is flushed before it counts as done. A file on a network
share is used by one machine at a time, as SQLite demands.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upres.errors import DamagedError, DataError, OutputError, UsageError
from upres.system.files import output_error
from upres.system.lock import FileGuard
from upres.system.text import shown

WAIT_S, _RETRY_S = 20.0, 0.05  # for another process that writes
_COMPANIONS = ("-wal", "-shm", "-journal")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_OF_DAMAGE = ("no such ", "has no column", "unsupported file format", "UTF-8", "utf-8", "NOT NULL constraint failed")
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_NO_WRITING = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_LEFT_OPEN: list[sqlite3.Connection] = []  # of a parent: a forked child must not close them
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of file.

    kind: What the file is, for messages: "journal".
    number: Its `application_id`, any 32-bit number of its own: a file with another one is not ours.
    steps: Statements that lead from each version to the next one; the version is the number of steps done.
    """

    kind: str
    number: int
    steps: tuple[tuple[str, ...], ...]


class Database:
    """An open file. Safe among threads, which take turns, and after a fork: a child opens the file anew.

    path: The file, created if it is missing.
    schema: Its tables, brought up to date.
    reading: Open an existing file without changing it, also in a folder that cannot be written.
    wait_s: How long to wait for another process.

    Every method may raise `DamagedError` (see `open_or_set_aside`) and `OutputError`: it cannot be written, the disk is
    full, or another process did not release it within `wait_s`. The first also raises `UsageError` for the file of a
    later version or of another program, and `DataError` if `reading` finds none.
    """

    def __init__(self, path: Path, schema: Schema, *, reading: bool = False, wait_s: float = WAIT_S) -> None:
        self.path, self._schema, self._reading, self._wait_s = path, schema, reading, wait_s
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        with self._told():
            self._open()

    def query(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a SELECT."""
        with self._turn, self._told():
            return self._open().execute(sql, values).fetchall()

    def stream(self, sql: str, values: Sequence[object] = (), rows: int = 1000) -> Generator[Row]:
        """The rows of a SELECT, a few at a time: for more rows than memory should hold.

        The rows are those of one moment. Until the last one is taken the log of changes cannot be cut.
        """
        with self._turn, self._told():
            cursor = self._open().execute(sql, values)
        try:
            while True:
                with self._turn, self._told():
                    found = cursor.fetchmany(rows)
                if not found:
                    return
                yield from found
        finally:
            cursor.close()

    def write(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement in a transaction of its own. Returns the number of changed rows."""
        with self.transaction() as run:
            return run.execute(sql, values).rowcount

    def write_many(self, sql: str, rows: Iterable[Sequence[object]]) -> int:
        """Run one statement for all rows in one transaction. Returns the number of changed rows."""
        with self.transaction() as run:
            return run.executemany(sql, rows).rowcount

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Cursor]:
        """All of its statements are done, or none. No other process writes meanwhile."""
        with self._turn, self._told():
            connection = self._open()
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has rolled back already after some errors
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise
            finally:
                cursor.close()

    def check(self) -> None:
        """Read every page. Raises `DamagedError`."""
        ((found,),) = self.query("PRAGMA quick_check(1)")
        if found != "ok":
            raise self._damaged(found)

    def close(self) -> None:
        """Release the file; the next call opens it again."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is not None and self._process == os.getpid():
                with self._told():
                    connection.close()
            elif connection is not None:
                _LEFT_OPEN.append(connection)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._process == os.getpid():
            return self._connection
        if self._connection is not None:
            _LEFT_OPEN.append(self._connection)
            self._connection = None
        self._process = os.getpid()
        connection = self._connect()
        try:
            current = self._version(connection)  # first of all: a file that is not ours stays as it is
            if not self._reading:
                self._patiently(lambda: connection.execute("PRAGMA journal_mode=WAL").fetchone())
                connection.execute("PRAGMA synchronous=FULL")
            if current != len(self._schema.steps):
                self._bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri()

        def connect(query: str) -> sqlite3.Connection:
            return sqlite3.connect(
                f"{uri}?{query}", uri=True, timeout=self._wait_s, isolation_level=None, check_same_thread=False
            )

        if not self._reading:
            return connect("mode=rwc")
        if not self.path.is_file():
            raise DataError(f"there is no {self._schema.kind} {self.path}")
        connection = connect("mode=ro")
        try:
            connection.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            connection.close()
            if _code(error) not in (sqlite3.SQLITE_CANTOPEN, *_NO_WRITING):
                raise
            connection = connect("immutable=1")  # the folder cannot be written, so nobody changes the file
        return connection

    def _bring_up_to_date(self, connection: sqlite3.Connection) -> None:
        if self._reading:
            why = "of an earlier version; run its job again first" if self._version(connection) else "just begun"
            raise DataError(f"{self.path} is a {self._schema.kind} {why}")
        self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        try:
            for step in self._schema.steps[self._version(connection) :]:  # another process may have been first
                for statement in step:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id={self._schema.number}")
            connection.execute(f"PRAGMA user_version={len(self._schema.steps)}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _version(self, connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (number,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if number != self._schema.number and (tables or version or number):
            raise UsageError(
                f"{self.path} is not a {self._schema.kind} of upres; move it away, or choose another place"
            )
        if version > len(self._schema.steps):
            raise UsageError(
                f"{self.path} is a {self._schema.kind} of a later version of upres (format {version}; this one reads "
                f"up to {len(self._schema.steps)}); use that version, or choose another place"
            )
        return version

    def _patiently(self, work: Callable[[], object]) -> None:
        """SQLite does not wait where two processes change the kind of log at once."""
        until = time.monotonic() + self._wait_s
        while True:
            try:
                work()
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in _BUSY or time.monotonic() > until:
                    raise
                time.sleep(_RETRY_S)

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error | UnicodeDecodeError) -> Exception:
        code = _code(error)
        if code in _DAMAGED or any(words in str(error) for words in _OF_DAMAGE):
            return self._damaged(shown(str(error)))
        if code in _BUSY:
            return OutputError(f"another process keeps {self.path} locked for {self._wait_s:.0f} s; wait, or end it")
        if code == sqlite3.SQLITE_FULL or code in _NO_WRITING:
            number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EACCES
            return output_error(self.path, OSError(number, os.strerror(number)))
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            return OutputError(f"cannot use {self.path}: {error}. Choose a writable folder with room")
        return error  # a mistake of ours

    def _damaged(self, words: object) -> DamagedError:
        return DamagedError(f"{self.path} is damaged ({words}); move it away")


def open_or_set_aside(path: Path, schema: Schema, *, wait_s: float = WAIT_S) -> tuple[Database, str]:
    """Open a file; a damaged one is kept beside under another name, and a new one begins.

    Returns the database, all pages of which were read (0.2 s for a million rows), and what to tell the user, "" if
    nothing was wrong. Raises as `Database` does, but for `DamagedError`.
    """
    try:
        return _checked(path, schema, wait_s), ""
    except DamagedError as error:
        reason = str(error)
    guard = FileGuard(path.with_name(path.name + ".lock"), f"another process repairs {path}; try again")
    try:
        try:
            return _checked(path, schema, wait_s), ""  # another process has repaired it
        except DamagedError:
            aside = set_aside(path)
        return Database(path, schema, wait_s=wait_s), f"{reason.partition(';')[0]}; it is kept as {aside.name}"
    finally:
        guard.release()


def set_aside(path: Path) -> Path:
    """Rename a file, with what SQLite keeps beside it, to `NAME.damaged`, `NAME.damaged-2`, ... Returns that name."""
    ends = ("", *(f"-{number}" for number in range(2, 10_000)))
    aside = next(aside for end in ends if not (aside := path.with_name(f"{path.name}.damaged{end}")).exists())
    try:
        path.rename(aside)
        for end in _COMPANIONS:
            with suppress(FileNotFoundError):
                path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    except OSError as error:
        raise output_error(path, error) from error
    return aside


def _checked(path: Path, schema: Schema, wait_s: float) -> Database:
    database = Database(path, schema, wait_s=wait_s)
    try:
        database.check()
        return database
    except BaseException:
        database.close()
        raise


def _code(error: Exception) -> int:
    """The primary code: extended ones have more in the upper bits."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
