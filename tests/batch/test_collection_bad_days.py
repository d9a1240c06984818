"""What may go wrong with a folder while a collection is made: each is told, and the same command goes on afterwards."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.batch.collected import Folder
from upres.batch import collection, writing
from upres.batch.journal import NAME
from upres.batch.status import read_status
from upres.errors import OutputError, UsageError
from upres.system import database


def test_a_disk_that_is_full_and_freed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, real, written = folder.undisturbed(), writing.write_picture, list[Path]()

    def fill(picture: Any, path: Any, *rest: Any, **more: Any) -> None:
        if len(written) == 1:
            raise OutputError(f"cannot write {path}: the disk is full") from OSError(errno.ENOSPC, "No space left")
        written.append(path)
        real(picture, path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_picture", fill)
        _, summary = folder.run()
        assert (summary.done, summary.codes) == (1, {5})
        assert summary.stopped_by is not None and "the disk is full" in str(summary.stopped_by)
    _, summary = folder.run()
    assert (summary.done, summary.failed, folder.results()) == (2, 0, whole)


def test_a_journal_on_a_full_disk_stops_the_job_and_is_whole(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = folder.undisturbed()
    opened = folder.open()
    with opened.journal.data.transaction() as work:
        ((pages,),) = work.execute("PRAGMA page_count").fetchall()
        work.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OutputError, match="the disk is full"):
        for index in range(1000):
            opened.journal.data.write("INSERT INTO jobs (settings, began) VALUES (?, '')", (str(index) * 500,))
    opened.close()
    _, summary = folder.run()
    assert (summary.failed, folder.results()) == (0, whole)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be written")
def test_a_folder_that_is_read_only_is_told(folder: Folder) -> None:
    folder.run()
    (folder.inputs / "0.png").touch()
    folder.out.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            folder.run()
        assert read_status(folder.out).pictures == {"done": 3}
    finally:
        folder.out.chmod(0o755)


def test_names_that_the_target_does_not_tell_apart_clash(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed, name in enumerate(("Photo.png", "photo.PNG", "e\u0301.png", "\u00e9.png")):
        folder.add(name, seed=seed + 5)
    monkeypatch.setattr(collection, "folds_names", lambda _: True)
    _, summary = folder.run()
    assert (summary.done, summary.failed) == (5, 2)
    assert all("have the same output" in str(one.error) for one in summary.failures)


def test_an_input_is_not_overwritten_under_another_case(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.inputs / "0.png").rename(folder.inputs / "Photo.PNG")
    monkeypatch.setattr(collection, "folds_names", lambda _: True)
    with pytest.raises(UsageError, match=r"the result of .*Photo\.PNG would overwrite the input .*Photo\.PNG"):
        folder.open(out=folder.inputs)


def test_a_clock_that_jumps_changes_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates of files are compared for equality only, and durations come from another clock."""
    for path in folder.inputs.iterdir():
        os.utime(path, (4e9, 4e9))  # in the year 2096
    opened = folder.open()
    opened.close()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    _, summary = folder.run()
    assert summary.done == 3
    assert folder.rows("SELECT count(*) FROM runs WHERE active_s < 0 OR active_s > 1000") == [(0,)]
    monkeypatch.undo()
    again, summary = folder.run()
    assert (summary.done, again.kept.existing.count) == (0, 3)


def test_a_journal_that_is_locked_is_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.run()
    monkeypatch.setattr(database.Database.__init__, "__kwdefaults__", {"reading": False, "wait_s": 0.1})
    monkeypatch.setattr(database.open_or_set_aside, "__kwdefaults__", {"wait_s": 0.1})
    other = sqlite3.connect(folder.out / NAME, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OutputError, match=r"another process keeps .* locked"):
        folder.run()
    other.execute("ROLLBACK")
    other.close()
    _, summary = folder.run()
    assert summary.failed == 0
