"""Run a collection: plan a few pictures at a time, so that a million take no more memory than a hundred."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from upres.batch import journal_queries, record
from upres.batch.collection import Collection, found_of
from upres.batch.job import Job, Outcome, Summary, Watcher
from upres.batch.journal_rows import OPEN, Item
from upres.batch.model_memory import ModelMemory
from upres.batch.plan import Planned
from upres.batch.reuse import take_over
from upres.batch.run import run_jobs
from upres.batch.search import MISSING
from upres.errors import InputError, ModelError, OutputError, UpresError
from upres.system.files import sha256_of

CHUNK = 128  # pictures that are planned together


class CollectionWatcher(Watcher, Protocol):
    """Receives the progress of a collection."""

    def failed(self, outcomes: Sequence[Outcome]) -> None:
        """Pictures that cannot be planned, or failed in an earlier run."""
        ...

    def planned(self, jobs: Sequence[Job], pixels_left: float, pictures_left: int) -> None:
        """The next jobs are about to run. After them about `pixels_left` output pixels of `pictures_left` are left."""
        ...


class CollectionRun:
    """One run of an open `collection`. `summary` is what came of it so far."""

    def __init__(self, collection: Collection) -> None:
        self.collection, self.summary = collection, Summary()
        self._journal, self._planner = collection.journal, collection.planner
        self.summary.failed = collection.more_failures
        self.summary.codes |= {InputError.exit_code} if collection.more_failures else set()
        self._models = ModelMemory(collection)
        self._in_hand: dict[Path, Item] = {}
        self._swept: set[Path] = set()
        self._bytes_left = journal_queries.open_bytes(self._journal)  # by suffix
        self._pixels_of, self._bytes_of = Counter[str](), Counter[str]()  # of planned pictures, by suffix

    def run(self, watcher: CollectionWatcher) -> Summary:
        """Do all that is left. Never raises for a bad picture; raises what concerns every picture: `ModelError`,
        `EngineError`, `UsageError`, `OutputError`.
        """
        while jobs := self.next_jobs(watcher):
            watcher.planned(jobs, *self.left())
            recording = _Recording(self, watcher)
            report = run_jobs(jobs, self.collection.encoding, recording, self._swept)
            report.outcomes = recording.corrected(report.outcomes)
            self.summary.add(jobs, report)
            if report.interrupted or report.stopped_by is not None or report.abandoned:
                break
        self.summary.left += self._journal.count(OPEN)
        return self.summary

    def next_jobs(self, watcher: CollectionWatcher) -> list[Job]:
        """Plan the next pictures; empty if none are left. What cannot be planned counts as failed. Raises as `run`."""
        jobs: list[Job] = []
        while not jobs and (items := self._journal.claim(CHUNK)):
            jobs = self._plan(items)
            self._tell_failures(watcher)
        self._tell_failures(watcher)
        return jobs

    def _tell_failures(self, watcher: CollectionWatcher) -> None:
        failures = self.collection.failures
        watcher.failed(failures)
        self.summary.fail(failures)
        failures.clear()

    def left(self) -> tuple[float, int]:
        """(output pixels, pictures) that are left after those in hand; the pixels by the bytes of their files."""
        overall = sum(self._pixels_of.values()) / max(1, sum(self._bytes_of.values()))
        pixels = 0.0
        for suffix, size in self._bytes_left.items():
            known = self._bytes_of[suffix]
            pixels += size * (self._pixels_of[suffix] / known if known else overall)
        return pixels, self._journal.count(OPEN)

    def _plan(self, items: list[Item]) -> list[Job]:
        collection, looked = self.collection, list[tuple[Item, Planned]]()
        failed: list[tuple[Item, BaseException]] = []
        for item in items:
            self._bytes_left[_suffix(item)] -= item.size
            fresh = self._with_content(item)
            try:
                may_take = not item.replaces and collection.encoding.invented is None  # a copy would have no map
                if may_take and fresh.content and take_over(self._journal, fresh, fresh.content):
                    collection.reused += 1
                    continue
                before = item.model if item.content in (None, fresh.content) else None
                looked.append((fresh, self._planner.look(found_of(item), collection.source(item), before)))
            except (ModelError, OutputError):
                raise
            except UpresError as error:
                failed.append((fresh, error))
        self._journal.note_all((item, planned.model) for item, planned in looked)
        times = 1.0 + self._journal.count(OPEN) / max(1, len(looked))
        self._models.open([planned for _, planned in looked], times)
        jobs: list[Job] = []
        for item, planned in looked:
            try:
                job = self._planner.job(planned)
            except UpresError as error:
                failed.append((item, error))
                continue
            assert job.target is not None
            self._in_hand[job.target] = item
            self._pixels_of[_suffix(item)] += job.plan.pixels
            self._bytes_of[_suffix(item)] += item.size
            jobs.append(job)
        collection.fail_all(failed)
        return jobs

    def _with_content(self, item: Item) -> Item:
        """The picture as its source is now."""
        source = self.collection.source(item)
        try:
            state = None if isinstance(source, bytes) else source.stat()
            content = record.sha256_of_source(source)
        except OSError:  # `Planner.look` says what is wrong
            return replace(item, content=None)
        size, mtime_ns = (MISSING, MISSING) if state is None else (state.st_size, state.st_mtime_ns)
        return replace(item, size=size, mtime_ns=mtime_ns, content=content)

    def finished(self, outcome: Outcome) -> Outcome | None:
        """Enter an outcome, which may turn out to be a failure; None if the picture is done again. Raises `OutputError`
        for the journal.
        """
        assert outcome.target is not None
        item = self._in_hand.pop(outcome.target)
        error = outcome.error
        try:
            if error is None:
                result = sha256_of(outcome.target)
                if self._is_unchanged(item):
                    self._journal.done(item, result, outcome.pixels, outcome.seconds)
                    return replace(outcome, source_sha256=item.content, result_sha256=result)
                error = InputError(f"{item.source} changes while it is read; run the same command again afterwards")
                if self._journal.reopen(item):
                    return None
            elif isinstance(error, InputError) and not self._is_unchanged(item) and self._journal.reopen(item):
                return None  # half of what it was, half of what it became
        except OSError:  # `run_jobs` tells of a result that is gone; a source that is gone fails as it did
            if error is None:
                self._journal.lost(item)
                return outcome
        self.collection.fail(item, error)
        self.collection.failures.clear()  # the report has it
        return replace(outcome, error=error, notes=())

    def _is_unchanged(self, item: Item) -> bool:
        source = self.collection.source(item)
        if isinstance(source, bytes):
            return True
        state = source.stat()
        return (state.st_size, state.st_mtime_ns) == (item.size, item.mtime_ns)


class _Recording:
    """Enters outcomes in the journal before it passes them on."""

    def __init__(self, run: CollectionRun, watcher: Watcher) -> None:
        self._run, self._watcher = run, watcher
        self._entered: list[Outcome | None] = []
        self.advanced, self.dropped = watcher.advanced, watcher.dropped

    def finished(self, outcome: Outcome) -> None:
        entered = self._run.finished(outcome)
        self._entered.append(entered)
        if entered is not None:
            self._watcher.finished(entered)

    def corrected(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The outcomes of a report as they were entered; a failure that it found later stands."""
        entered = [*self._entered, *outcomes[len(self._entered) :]]  # Ctrl-C may strike while one is entered
        pairs = zip(outcomes, entered, strict=True)
        return [told if told.error is not None else entered for told, entered in pairs if entered is not None]


def _suffix(item: Item) -> str:
    return item.source[-4:].lower()
