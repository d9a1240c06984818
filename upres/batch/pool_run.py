"""Run a collection with workers elsewhere: this process keeps the journal, they read, upscale and write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

from upres.batch.collection import Collection
from upres.batch.collection_run import CollectionWatcher
from upres.batch.job import EngineUsed, Outcome, Summary
from upres.batch.journal_queries import has_vanished
from upres.batch.journal_rows import OPEN, Item
from upres.batch.model_memory import ModelMemory
from upres.batch.paths import STDIO
from upres.batch.reuse import take_over
from upres.batch.tasks import Answer, Setup, Task
from upres.errors import EngineError, InputError, ModelError, OutputError, UpresError, UsageError
from upres.system.files import sha256_of
from upres.system.signals import is_interrupt
from upres.system.storage import is_url

_FEED = 16  # pictures that are claimed together
_KINDS: dict[int, type[UpresError]] = {2: UsageError, 4: ModelError, 5: OutputError}


class Pool(Protocol):
    """Workers that do tasks."""

    def map(self, tasks: Iterator[Task]) -> Iterator[Answer]:
        """The answers, in the order in which they come."""
        ...


def setup_of(collection: Collection, threads: int) -> Setup:
    """What the workers of a collection need to know. threads: of each, unless the request says."""
    encoding = asdict(replace(collection.encoding, sink=None))
    del encoding["sink"]
    request = replace(collection.request, inputs=())
    threads = request.options.engine_options.threads or threads
    remote = request.out if collection.is_remote else None
    format = collection.destination.format
    return Setup(request, encoding, str(collection.folder.absolute()), format, threads, remote)


class PoolRun:
    """As `CollectionRun`, with workers. Pictures of standard input are not for them."""

    def __init__(self, collection: Collection, pool: Pool) -> None:
        self.collection, self.summary, self._pool = collection, Summary(), pool
        self._journal = collection.journal
        self.summary.failed = collection.more_failures
        self.summary.codes |= {InputError.exit_code} if collection.more_failures else set()
        self._models = ModelMemory(collection)
        self._in_hand: dict[int, Item] = {}
        without_maps = collection.encoding.invented is None  # what is moved would leave its map behind
        self._looks_for_moved = without_maps and not collection.is_remote and has_vanished(self._journal)
        self._pixels = self._bytes = 0

    def run(self, watcher: CollectionWatcher) -> Summary:
        """Do all that is left. Never raises for a bad picture; stops as `CollectionRun.run` does."""
        try:
            self._tell_failures(watcher)
            watcher.planned([], 0.0, self._journal.count(OPEN))
            for answer in self._pool.map(self._tasks()):
                outcome = self._enter(answer)
                if outcome is not None:
                    watcher.advanced(0 if outcome.error else outcome.pixels)
                    watcher.finished(outcome)
                self._tell_failures(watcher)
                left = self._journal.count(OPEN) + len(self._in_hand)
                watcher.planned([], left * self._pixels / max(1, self.summary.done), left)
                if self.summary.stopped_by is not None:
                    break
        except KeyboardInterrupt:
            self.summary.interrupted = True
        except RuntimeError as error:
            if not is_interrupt(error):
                raise
            self.summary.interrupted = True
        self._journal.release()
        self.summary.left += self._journal.count(OPEN)
        return self.summary

    def _tasks(self) -> Iterator[Task]:
        while items := self._journal.claim(_FEED):
            for item in items:
                if item.source == STDIO:
                    self.collection.fail(item, InputError("standard input cannot be given to workers; name a file"))
                    continue
                source = item.source if is_url(item.source) else str(Path(item.source).absolute())
                if self._looks_for_moved and self._is_moved(item, source):
                    continue
                self._in_hand[item.id] = item
                yield Task(item.id, source, item.folder, item.target, item.model, self._models.all_recorded())

    def _is_moved(self, item: Item, source: str) -> bool:
        """Whether its result could be taken over; results and pictures at URLs are not looked at."""
        try:
            content = sha256_of(Path(source))
        except OSError:
            return False
        if item.replaces or take_over(self._journal, replace(item, content=content), content) is None:
            return False
        self.collection.reused += 1
        return True

    def _enter(self, answer: Answer) -> Outcome | None:
        """Enter an answer in the journal; None if the picture is done again."""
        item = self._in_hand.pop(answer.number)
        if answer.content is not None:
            item = replace(item, size=answer.size, mtime_ns=answer.mtime_ns, content=answer.content)
            self._journal.note_all([(item, answer.model)])
        if answer.model is not None and answer.runs_on is not None:
            self._models.note(answer.model, answer.sha256, *answer.runs_on)
            self.summary.engines[EngineUsed(*answer.runs_on)] = None
        target = self.collection.place.path(item.target)
        if answer.code:
            reason = answer.reason.replace(str(Path(item.source).absolute()), item.source)
            error = _KINDS.get(answer.code, EngineError if answer.lost else InputError)(reason)
            self.collection.fail(item, error)
            if isinstance(error, ModelError | OutputError | UsageError):  # every later picture would fail too
                self.summary.stopped_by = error
            return None
        if answer.changed and self._journal.reopen(item):
            return None
        assert answer.result is not None
        self._journal.done(item, answer.result, answer.pixels, answer.seconds)
        outcome = Outcome(item.source, target, answer.pixels, answer.seconds, answer.notes, model=answer.label)
        self._pixels += answer.pixels
        self.summary.count(outcome)
        return replace(outcome, source_sha256=item.content, result_sha256=answer.result)

    def _tell_failures(self, watcher: CollectionWatcher) -> None:
        failures = self.collection.failures
        watcher.failed(failures)
        self.summary.fail(failures)
        failures.clear()
