"""A run of a collection: what is claimed, counted and entered in the journal, also when the world changes meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.batch.collected import Folder, Watching
from upres.batch import collection_run, run
from upres.batch.collection_run import CollectionRun
from upres.batch.journal import NAME
from upres.batch.search import parse_shard
from upres.errors import UsageError
from upres.system.files import sha256_of


def test_every_result_is_entered_with_its_hashes(folder: Folder) -> None:
    _, summary = folder.run()
    assert summary.pixels == sum(4 * 6 * (7 + seed) for seed in range(3)) == folder.last.pixels
    for source, content, target, result, pixels in folder.rows(
        "SELECT source, content, target, result, pixels FROM pictures"
    ):
        assert sha256_of(Path(source)) == content
        assert sha256_of(folder.out / target) == result
        assert pixels == 4 * 6 * (7 + int(Path(source).stem))


def test_pictures_are_planned_a_few_at_a_time(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_run, "CHUNK", 2)
    folder.add("deep/3.png", seed=3)
    _, summary = folder.run()
    assert summary.done == 4
    assert [pictures for _, pictures in folder.last.left] == [2, 0]
    pixels = 4 * 6 * (9 + 10)
    assert abs(folder.last.left[0][0] - pixels) < 0.3 * pixels  # by the bytes of the files
    assert folder.last.left[1][0] == 0


def test_a_run_that_was_killed_is_gone_on_with(folder: Folder) -> None:
    """Its process is gone: what it had in hand is open again; a result that it had not entered yet is."""
    collection = folder.open()
    run = CollectionRun(collection)
    jobs = run.next_jobs(Watching())
    assert folder.rows("SELECT state FROM pictures") == [(1,)] * 3
    whole = folder.undisturbed()
    (folder.out / "0.png").write_bytes(whole["0.png"])  # renamed into place, and then the end
    collection.journal.data.close()
    collection._guard.release()  # pyright: ignore[reportPrivateUsage]  # as the system does
    assert len(jobs) == 3
    calls = len(folder.runner.calls)
    _, summary = folder.run()
    assert (summary.done, len(folder.runner.calls) - calls) == (2, 2)
    assert folder.results() == whole


def test_two_runs_share_the_pictures(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_run, "CHUNK", 1)
    first, second = folder.open(), folder.open()
    one, other = CollectionRun(first), CollectionRun(second)
    names = [job.found.name for run in (one, other, one, other) for job in run.next_jobs(Watching())]
    assert sorted(names) == sorted(map(str, folder.inputs.iterdir()))
    first.close()
    second.close()
    assert folder.rows("SELECT DISTINCT state FROM pictures") == [(0,)]


def test_a_picture_that_changes_while_it_is_read_is_done_again(folder: Folder) -> None:
    changing = folder.inputs / "1.png"
    seen: list[int] = []

    class Meddling(Watching):
        def advanced(self, pixels: int) -> None:
            if len(seen) < 2 and not (folder.out / "1.png").exists():
                seen.append(1)
                folder.add("1.png", seed=20 + len(seen))
                os.utime(changing, ns=(len(seen), len(seen)))

    collection = folder.open()
    summary = CollectionRun(collection).run(Meddling())
    collection.close()
    assert seen and summary.failed == 0
    assert folder.results() == folder.undisturbed()


def test_a_picture_that_is_found_half_written_is_done_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    changing, whole = folder.inputs / "1.png", (folder.inputs / "1.png").read_bytes()
    read, tries = run.read_picture, list[Path | bytes]()

    def meddling(source: Path | bytes, **options: Any) -> Any:
        if source != changing:
            return read(source, **options)
        tries.append(source)
        if len(tries) == 1:
            changing.write_bytes(whole[:-20])
        try:
            return read(source, **options)
        finally:
            changing.write_bytes(whole)
            os.utime(changing, ns=(1, 1))

    monkeypatch.setattr(run, "read_picture", meddling)
    _, summary = folder.run()
    assert (len(tries), summary.failed) == (2, 0)
    monkeypatch.undo()
    assert folder.results().keys() == {"0.png", "1.png", "2.png"}


def test_a_picture_that_never_comes_to_rest_fails(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CollectionRun, "_is_unchanged", lambda self, item: not item.source.endswith("1.png"))
    _, summary = folder.run()
    (failure,) = summary.failures
    assert "1.png changes while it is read; run the same command again afterwards" in str(failure.error)


def test_a_picture_that_vanishes_fails_alone(folder: Folder) -> None:
    collection = folder.open()
    (folder.inputs / "1.png").unlink()
    summary = CollectionRun(collection).run(Watching())
    collection.close()
    (failure,) = summary.failures
    assert (summary.done, failure.name) == (2, str(folder.inputs / "1.png"))
    _, again = folder.run()
    assert (again.failed, again.left) == (0, 0)  # it is not named any more


def test_a_folder_that_is_no_longer_writable_stops_the_job(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    from upres.batch import writing
    from upres.errors import OutputError

    def refuse(*_: Any, **__: Any) -> None:
        raise OutputError("cannot write: Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_picture", refuse)
        _, summary = folder.run()
        assert (summary.done, summary.codes) == (0, {5})
    _, summary = folder.run()
    assert summary.done == 3


def test_shards_are_disjoint_and_whole(folder: Folder) -> None:
    for index in range(4, 20):
        folder.add(f"{index}.png", seed=index % 3)
    done = [folder.run(shard=f"{part}/3")[1].done + 0 for part in (1, 2, 3)]
    assert sum(done) <= 19 and min(done) > 0
    assert folder.results() == folder.undisturbed()
    assert len(list(folder.out.glob(".upres-journal-*of3.sqlite"))) == 3 and not (folder.out / NAME).exists()


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`shard` must be a part of a whole such as 3/10"):
        parse_shard(text)


def test_odd_names_are_names(folder: Folder) -> None:
    odd = [os.fsdecode(b"\xff\xfe.png"), "a\nb.png", "e\u0301.png", "\u00e9.png", "A.png", "a.png", "#?%20.png"]
    for seed, name in enumerate(odd):
        folder.add(name, seed=seed + 3)
    _, summary = folder.run()
    assert summary.done == 3 + len(odd)
    _, again = folder.run()
    assert (again.done, again.failed) == (0, 0)
    assert set(folder.results()) == {*odd, "0.png", "1.png", "2.png"}
