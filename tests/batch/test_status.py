from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.batch.collected import Folder, Watching
from upres.batch import collection_run
from upres.batch.collection_run import CollectionRun
from upres.batch.journal import NAME, Journal
from upres.batch.journal_rows import FAILED, Seen
from upres.batch.status import pictures, read_status
from upres.errors import InputError


def test_a_finished_job(folder: Folder) -> None:
    (folder.inputs / "bad.png").write_bytes(b"no picture")
    folder.run()
    status = read_status(folder.out)
    assert (status.pictures, status.left_s, status.runs) == ({"done": 3, "failed": 1}, 0.0, 0)
    assert status.pixels == 4 * 6 * (7 + 8 + 9)
    assert status.settings == ({"model": folder.model},)
    (failed,) = pictures(folder.out, FAILED)
    assert (failed.source, failed.code, failed.state) == (str(folder.inputs / "bad.png"), 3, "failed")
    assert failed.reason is not None and "bad.png" in failed.reason
    assert [one.source for one in pictures(folder.out)] == sorted(map(str, folder.inputs.iterdir()))


def test_a_job_at_work_and_after_its_end(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_run, "CHUNK", 1)
    collection = folder.open()
    assert (read_status(folder.out).left_s, read_status(folder.out).speed) == (None, None)
    run = CollectionRun(collection)
    (job,) = run.next_jobs(Watching())
    status = read_status(folder.out)
    assert (status.pictures, status.runs) == ({"open": 2, "running": 1}, 1)
    collection.close()
    assert read_status(folder.out).runs == 0
    assert job.plan.pixels > 0


def test_shards_are_told_together(folder: Folder) -> None:
    for index in range(4, 12):
        folder.add(f"{index}.png", seed=index)
    for part in ("1/2", "2/2"):
        folder.run(shard=part)
    assert read_status(folder.out).pictures == {"done": 11}


def test_the_time_left_is_right_after_a_fifth(folder: Folder) -> None:
    """By the clock of a job whose pictures take as long as they are large, small ones first."""
    journal = Journal(folder.inputs)
    journal.begin({}, "none.lock")
    sizes = [1000 + 10 * index for index in range(100)]
    found = [
        Seen(0, f"{i:03}.png", f"/in/{i:03}", "", f"{i:03}.png", f"/out/{i:03}", size, 0)
        for i, size in enumerate(sizes)
    ]
    journal.see(found, replace=False, retry=False, limits="")
    for item in journal.claim(36):  # a fifth of the work is in the first 36
        journal.done(item, "0" * 64, 20 * item.size, 0.0)
    seconds_per_byte = 1e-3
    done = sum(sizes[:36])
    journal.data.write("UPDATE runs SET active_s = ?", (done * seconds_per_byte,))
    left_s = read_status(folder.inputs).left_s
    truth = sum(sizes[36:]) * seconds_per_byte
    journal.data.close()
    assert left_s is not None and abs(left_s - truth) < 0.2 * truth


def test_a_folder_without_a_job(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="has no journal of a job"):
            read_status(place)


@pytest.mark.slow
def test_many_rows_open_and_list_at_once(tmp_path: Path) -> None:
    Journal(tmp_path).data.close()
    with sqlite3.connect(tmp_path / NAME) as data:
        data.execute("INSERT INTO jobs VALUES (1, '{}', 'now')")
        data.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) INSERT INTO pictures"
            " (job, rank, source, key, folder, target, wants, bytes, mtime_ns, state, seen)"
            " SELECT 1, 0, i || '.png', '/in/' || i, '', i || '.png', i, 1000, 0, i % 2 * 2, 0 FROM n"
        )
    data.close()
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom upres.batch.journal import Journal\n"
        "start = time.process_time()\njournal = Journal(Path(sys.argv[1]))\njournal.job = 1\n"
        "print(sum(1 for _ in journal.data.stream('SELECT source FROM pictures WHERE state = 0')))\n"
        "print(time.process_time() - start)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    count, seconds = done.stdout.split()
    assert int(count) == 100_000
    assert float(seconds) < 0.4  # a million: 2 s
    start = time.process_time()
    assert read_status(tmp_path).pictures == {"open": 100_000, "done": 100_000}
    assert time.process_time() - start < 1.0
