"""A collection whose pictures are done by workers: the journal, the report and the tree are those of a run without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.batch.collected import Folder, Watching
from upres.batch.collection import Collection
from upres.batch.job import Summary
from upres.batch.pool_run import PoolRun, setup_of
from upres.batch.tasks import Answer, Setup, Task, TaskWorker
from upres.upscaling.options import UpscaleOptions

ONE_THREAD = UpscaleOptions().replace(threads=1)


class Inline:
    """A pool of one worker in this process; everything goes through JSON, as to another one."""

    def __init__(self, setup: Setup) -> None:
        self._worker = TaskWorker(msgspec.json.decode(msgspec.json.encode(setup), type=Setup))

    def map(self, tasks: Iterator[Task]) -> Iterator[Answer]:
        for task in tasks:
            answer = self._worker(msgspec.json.decode(msgspec.json.encode(task), type=Task))
            yield msgspec.json.decode(msgspec.json.encode(answer), type=Answer)


def run(folder: Folder, out: Path | None = None) -> tuple[Collection, Summary]:
    collection = folder.open(out, options=ONE_THREAD)
    try:
        folder.last = Watching()
        return collection, PoolRun(collection, Inline(setup_of(collection, 1))).run(folder.last)
    finally:
        collection.close()


def test_the_tree_the_journal_and_the_report_are_those_of_one_process(folder: Folder) -> None:
    (folder.inputs / "bad.png").write_bytes(b"no picture")
    folder.add("deep/3.png", seed=4)
    _, summary = run(folder)
    columns = "source, target, state, content, model, result, pixels, code, reason, limits"
    rows = f"SELECT {columns} FROM pictures ORDER BY source"
    models = "SELECT name, sha256, engine, device, precision FROM models"
    seen, known = folder.rows(rows), folder.rows(models)
    results = folder.results()
    shutil.rmtree(folder.out)
    _, alone = folder.run(options=ONE_THREAD)
    assert folder.rows(rows) == seen
    assert folder.rows(models) == known
    assert folder.results() == results
    assert (summary.done, summary.failed, summary.pixels) == (alone.done, alone.failed, alone.pixels) == (4, 1, 840)
    assert summary.codes == alone.codes and list(summary.engines) == list(alone.engines)
    assert str(summary.failures[0].error) == str(alone.failures[0].error)


def test_moved_pictures_are_moved(folder: Folder) -> None:
    run(folder)
    (folder.inputs / "1.png").rename(folder.inputs / "moved.png")
    calls = len(folder.runner.calls)
    collection, summary = run(folder)
    assert (summary.done, collection.reused, len(folder.runner.calls) - calls) == (0, 1, 0)
    assert sorted(folder.results()) == ["0.png", "2.png", "moved.png"]


def test_a_lost_worker_fails_its_picture_which_is_tried_again(folder: Folder) -> None:
    class Lossy(Inline):
        def map(self, tasks: Iterator[Task]) -> Iterator[Answer]:
            for place, task in enumerate(tasks):
                if place == 1:
                    yield Answer(
                        task.number, code=3, reason="the worker process was ended by signal SIGSEGV", lost=True
                    )
                else:
                    yield from super().map(iter([task]))

    collection = folder.open(options=ONE_THREAD)
    summary = PoolRun(collection, Lossy(setup_of(collection, 1))).run(Watching())
    collection.close()
    assert (summary.done, summary.failed) == (2, 1)
    _, again = run(folder)
    assert (again.done, again.failed) == (1, 0)


def test_a_refused_model_stops_all(folder: Folder) -> None:
    collection = folder.open(options=ONE_THREAD)
    pool = Inline(setup_of(collection, 1))
    Path(folder.model).write_bytes(b"gone")
    summary = PoolRun(collection, pool).run(Watching())
    collection.close()
    assert summary.stopped_by is not None and summary.codes == {4}
    assert (summary.done, summary.failed, summary.left) == (0, 1, 2)
