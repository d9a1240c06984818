from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from upres.errors import DamagedError, DataError, OutputError, UsageError
from upres.system.database import Database, Schema, open_or_set_aside

ONE = Schema("notebook", 0x55501, (("CREATE TABLE notes (number INTEGER PRIMARY KEY, words TEXT NOT NULL)",),))
TWO = Schema(
    "notebook", 0x55501, (*ONE.steps, ("ALTER TABLE notes ADD COLUMN color TEXT", "UPDATE notes SET color='red'"))
)


def filled(path: Path, rows: int = 3) -> Path:
    with Database(path, ONE) as notes:
        notes.write_many("INSERT INTO notes VALUES (?, ?)", [(i, f"note {i} " * 40) for i in range(rows)])
    return path


def test_rows_are_there_for_other_programs(tmp_path: Path) -> None:
    path = filled(tmp_path / "Schöne Notizen #1?.db")
    assert list(tmp_path.iterdir()) == [path]  # closed, it is one file
    plain = sqlite3.connect(path)
    assert plain.execute("SELECT count(*) FROM notes").fetchone() == (3,)
    assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    plain.close()


def test_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    with pytest.raises(DataError, match="earlier version"):
        Database(path, TWO, reading=True)
    with Database(path, TWO) as notes:
        assert notes.query("SELECT DISTINCT color FROM notes") == [("red",)]
    with pytest.raises(UsageError, match=r"later version of upres .format 2; this one reads up to 1"):
        Database(path, ONE)


def test_a_step_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    broken = Schema("notebook", 0x55501, (*ONE.steps, ("DROP TABLE notes", "NO SQL")))
    with pytest.raises(sqlite3.OperationalError):
        Database(path, broken)
    with Database(path, ONE) as notes:
        assert len(notes.query("SELECT * FROM notes")) == 3


def test_a_file_of_another_program_stays_untouched(tmp_path: Path) -> None:
    path = tmp_path / "browser.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE history (url)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="not a notebook of upres"):
        open_or_set_aside(path, ONE)
    assert path.read_bytes() == before


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with Database(tmp_path / "notes.db", ONE) as notes:
        with pytest.raises(KeyboardInterrupt), notes.transaction() as run:
            run.execute("INSERT INTO notes VALUES (1, 'one')")
            raise KeyboardInterrupt
        with pytest.raises(sqlite3.IntegrityError), notes.transaction() as run:
            run.execute("INSERT INTO notes VALUES (1, 'one')")
            run.execute("INSERT INTO notes VALUES (1, 'again')")
        assert notes.query("SELECT * FROM notes") == []
        assert notes.write("INSERT INTO notes VALUES (1, 'one')") == 1


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + bytes(500)], ids=["text", "cut"])
def test_what_is_no_database_is_kept_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.db"
    for name in ("notes.db.damaged", "notes.db.damaged-2"):
        path.write_bytes(content)
        with pytest.raises(DamagedError, match="is damaged"):
            Database(path, ONE)
        notes, told = open_or_set_aside(path, ONE)
        with notes:
            assert "is damaged" in told and told.endswith(f"it is kept as {name}")
            assert notes.query("SELECT * FROM notes") == []
        assert (tmp_path / name).read_bytes() == content


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    (tmp_path / "notes.db").touch()
    notes, told = open_or_set_aside(tmp_path / "notes.db", ONE)
    with notes:
        assert (told, notes.query("SELECT * FROM notes")) == ("", [])


def test_damage_inside_is_found(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db", rows=500)
    content = bytearray(path.read_bytes())
    assert len(content) > 20 * 4096
    content[5 * 4096 : 15 * 4096] = b"\xff" * (10 * 4096)
    path.write_bytes(content)
    with Database(path, ONE) as notes:
        with pytest.raises(DamagedError):
            notes.query("SELECT * FROM notes")
        with pytest.raises(DamagedError):
            notes.check()
    notes, told = open_or_set_aside(path, ONE)
    notes.close()
    assert "notes.db.damaged" in told


_WRITER = """
import os, sys
from pathlib import Path
from tests.system.test_database import ONE
from upres.system.database import Database
notes = Database(Path(sys.argv[1]), ONE)
notes.write("INSERT INTO notes VALUES (7, 'kept')")
with notes.transaction() as run:
    run.execute("INSERT INTO notes VALUES (8, 'lost')")
    print("begun", flush=True)
    sys.stdin.read()
"""


def test_another_process_waits_is_told_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "begun\n"
        with Database(path, ONE, wait_s=0.1) as notes:
            assert notes.query("SELECT number FROM notes") == [(7,)]  # readers do not wait
            with pytest.raises(OutputError, match=r"another process keeps .*notes.db locked"):
                notes.write("DELETE FROM notes")
        writer.kill()
        writer.wait()
    notes, told = open_or_set_aside(path, ONE)
    with notes:
        assert (told, notes.query("SELECT number FROM notes")) == ("", [(7,)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_opens_the_file_anew(tmp_path: Path) -> None:
    with Database(tmp_path / "notes.db", ONE) as notes:
        notes.write("INSERT INTO notes VALUES (1, 'parent')")
        child = os.fork()
        if child == 0:
            notes.write("INSERT INTO notes VALUES (2, 'child')")
            notes.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        notes.write("INSERT INTO notes VALUES (3, 'parent')")
        assert notes.query("SELECT number FROM notes") == [(1,), (2,), (3,)]
        notes.check()


def test_threads_take_turns(tmp_path: Path) -> None:
    with Database(tmp_path / "notes.db", ONE) as notes:

        def work(begin: int) -> None:
            for number in range(begin, begin + 10):
                notes.write("INSERT INTO notes VALUES (?, 'x')", (number,))

        threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert notes.query("SELECT count(*) FROM notes") == [(40,)]
        assert sum(1 for _ in notes.stream("SELECT * FROM notes", rows=7)) == 40


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with Database(filled(tmp_path / "notes.db"), ONE) as notes:
        notes.query("PRAGMA max_page_count=1")  # SQLite's own way to be full: never less than what is there
        with pytest.raises(OutputError, match="the disk is full"):
            notes.write_many("INSERT INTO notes VALUES (?, ?)", [(i, "x" * 4000) for i in range(10, 20)])
        assert notes.query("SELECT count(*) FROM notes") == [(3,)]
        notes.query("PRAGMA max_page_count=1000000")
        assert notes.write("INSERT INTO notes VALUES (10, ?)", ("x" * 4000,)) == 1


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    with Database(path, ONE, reading=True) as notes:
        assert len(notes.query("SELECT * FROM notes")) == 3
        with pytest.raises(OutputError, match="Choose a writable folder"):
            notes.write("DELETE FROM notes")
    with pytest.raises(DataError, match="there is no notebook"):
        Database(tmp_path / "none.db", ONE, reading=True)


def test_a_folder_that_is_no_place_for_files_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "folder", tmp_path / "missing" / "notes.db"):
        with pytest.raises(OutputError, match="cannot use"):
            Database(place, ONE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is read-only to this user")
def test_a_read_only_folder_is_read_and_not_written(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with Database(path, ONE, reading=True) as notes:
            assert len(notes.query("SELECT * FROM notes")) == 3
        with pytest.raises(OutputError, match="Choose a writable folder"), Database(path, ONE) as notes:
            notes.write("DELETE FROM notes")
    finally:
        tmp_path.chmod(0o755)


def test_a_schema_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    data = path.read_bytes()
    at = data.index(b"CREATE TABLE notes")
    path.write_bytes(data[:at] + b"CREATE TABLE \xb7\xb7\xb7\xb7\xb7 XXXXXXX" + data[at + 26 :])
    with pytest.raises(DamagedError, match="is damaged"):
        Database(path, ONE)


@pytest.mark.parametrize(("old", "new"), [(b"words TEXT", b"wordz TEXT"), (b"note 0 note", b"note \xff note")])
def test_columns_and_text_that_a_damaged_file_lacks_are_damage(old: bytes, new: bytes, tmp_path: Path) -> None:
    path = filled(tmp_path / "notes.db")
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(DamagedError, match="is damaged"), Database(path, ONE) as notes:
        notes.query("SELECT words FROM notes")
