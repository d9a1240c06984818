"""A collection: pictures whose results go to a folder, with a journal that later runs of the same command go on with.

A `Collection` finds the pictures and what is done already; `collection_run` does the rest.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from upres.batch import journal_queries, record, resume
from upres.batch.job import MOST_LISTED, Encoding, Kept, Outcome, failure_code
from upres.batch.journal import NAME, Journal
from upres.batch.journal_rows import CLASH, DONE, OPEN, Item
from upres.batch.paths import STDIO, Destination, InputFile, make_folder
from upres.batch.place import FolderPlace, Place, UrlPlace
from upres.batch.plan import Planner, no_pictures
from upres.batch.request import CollectionOptions, Request
from upres.batch.search import folded, parse_shard, search
from upres.errors import InputError, UpresError, UsageError
from upres.system.lock import FileGuard
from upres.system.packages import version_of
from upres.system.storage import Storage, is_url
from upres.system.text import shown
from upres.system.walk import folds_names

_LOOKS_LIKE_RESULT = "earlier result beside its picture (name it alone to upscale it)"


class Collection:
    """The pictures of a request and the journal of their results, open for one run. `close` it.

    request, encoding: What the user asked for.
    destination: Names the output folder.
    read_stdin: Returns the bytes of standard input.
    options: The part of the collection to work on, and what to try again.

    `notes` are for the user. `kept` counts results that were there, `left_out` skipped files by reason, `reused`
    results that were taken over from a picture of the same content. `failures` are pictures that cannot be upscaled,
    found since the list was emptied last; `more_failures` failed in an earlier run and are not listed.

    Raises:
        UsageError: The folder has results of other settings, or a job with others is running there; a result would
            overwrite an input.
        OutputError: The folder cannot be written.
        InputError: There are no pictures.
        ModelError: The model is refused.
    """

    def __init__(
        self,
        request: Request,
        encoding: Encoding,
        destination: Destination,
        read_stdin: Callable[[], bytes],
        options: CollectionOptions,
    ) -> None:
        assert destination.folder is not None
        self.request, self.encoding, self.destination = request, encoding, destination
        self.folder: Path = destination.folder  # of the journal, and of the results if they are not elsewhere
        self.is_remote = request.out is not None and is_url(request.out)
        self.place: Place = UrlPlace(request.out or "") if self.is_remote else FolderPlace(self.folder)
        self.notes: list[str] = []
        self.kept, self.left_out, self.reused = Kept(), Counter[str](), 0
        self.failures: list[Outcome] = []
        self.more_failures = 0
        self.options = options
        shard = None if options.shard is None else parse_shard(options.shard)
        self._read_stdin, self._shard, self._retry = read_stdin, shard, options.retry_failed
        self._stdin: bytes | None = None
        self._folds = False  # the folder does not tell names apart by case
        request.options.engine_options.check_installed()  # even if nothing is left to do
        if next(search(request, destination, self.left_out, folds=False, shard=None), None) is None:
            raise no_pictures(request, self.left_out)
        self.left_out.clear()
        self.planner = Planner(request, destination, resume.recorded_models(self.folder, request.settings()))
        self.planner.load_asked()
        make_folder(self.folder)
        settings = _settings(request, encoding)
        self._guard: FileGuard = resume.hold(self.folder, settings)
        try:
            self.journal = Journal(self.folder, NAME if shard is None else NAME.replace("journal", f"journal-{shard}"))
            try:
                self._begin(settings)
            except BaseException:
                self.journal.data.close()
                raise
        except BaseException:
            self._guard.release()
            raise

    @property
    def limits(self) -> str:
        """What a failure may depend on besides the picture: under other limits it is tried again."""
        options = self.request.options
        return f"{version_of('upres')} {self.request.max_pixels} {options.memory_bytes} {options.tile_px}"

    def _begin(self, settings: Mapping[str, str]) -> None:
        journal = self.journal
        if journal.note:
            self.notes.append(f"{journal.note}; a new one is made from the results' own records")
        journal.begin(settings, self._guard.path.name)
        try:
            self._enter()
            self._tell_failures()
            self._give_names()
            self._look_at_results()
            if not self.request.overwrite:
                self._refuse_mixing(settings)
        except UsageError:
            journal.withdraw()
            raise
        journal.forget_unfinished_others()
        journal.forget_vanished()
        resume.end(self.folder)  # the journal of an earlier version is taken over

    def _enter(self) -> None:
        self._folds = folds_names(self.folder)
        found = search(self.request, self.destination, self.left_out, folds=self._folds, shard=self._shard)
        while rows := list(islice(found, 2000)):
            self.journal.see(rows, replace=self.request.overwrite, retry=self._retry, limits=self.limits)

    def _tell_failures(self) -> None:
        """Pictures that failed before and have not changed are not tried again."""
        for code, source, reason in journal_queries.failures(self.journal):
            if code == InputError.exit_code and len(self.failures) < MOST_LISTED:
                error = InputError(f"{reason} (as before; `retry_failed=True` tries again)")
                self.failures.append(Outcome(source, None, 0, error=error))
            else:
                self.more_failures += 1

    def _give_names(self) -> None:
        """Refuse results that would overwrite an input, and the second of two with one name."""
        if self._may_hold_inputs():
            self._leave_out_results()
        for first, *others in journal_queries.clashes(self.journal):
            for item in others:
                error = InputError(
                    f"{shown(item.source)} and {shown(first.source)} have the same output "
                    f"{shown(self.place.path(item.target))}; rename one, or upscale it alone with `out=FILE`"
                )
                self.fail(item, error, CLASH)

    def _may_hold_inputs(self) -> bool:
        top = os.path.realpath(self.folder)
        local = (text for text in self.request.inputs if text != STDIO and not is_url(text))
        return any(os.path.realpath(text).startswith(top) for text in local)

    def _leave_out_results(self) -> None:
        removed: set[int] = set()
        pairs = journal_queries.inputs_in_the_way(self.journal, folded if self._folds else None)
        for item, other in sorted(pairs, key=lambda pair: pair[0].id == pair[1].id):
            if other.id in removed or item.id in removed:
                continue
            if item.id == other.id or record.read_record(Path(other.source)) is None:
                raise UsageError(
                    f"the result of {shown(item.source)} would overwrite the input {shown(other.source)}; "
                    "choose another output"
                )
            self.journal.remove(other)
            removed.add(other.id)
            self.left_out[_LOOKS_LIKE_RESULT] += 1

    def _look_at_results(self) -> None:
        """Results that are there count as done if they are as requested; a result that is gone is made again."""
        for item in self.journal.in_state(DONE):
            if self.place.has(item.target):
                self.kept.existing.add(self.place.path(item.target))
            else:
                self.journal.lost(item)
        for item in self.journal.in_state(OPEN):
            if not item.replaces and self.place.has(item.target):
                try:
                    self._judge(item, self.place.path(item.target))
                except UpresError as error:
                    self.fail(item, error)

    def _judge(self, item: Item, target: Path) -> None:
        source = self.source(item)
        made = self.place.sha256(item.target)
        # Ours, of this picture as it was, or of one that is gone?
        if made in journal_queries.results_for(self.journal, item):
            if made == item.result and record.sha256_of_source(source) == item.content:
                self.journal.still_done(item)
                self.kept.existing.add(target)
            else:
                self.journal.replace(item)
            return
        before = self.place.record(item.target)
        if before is None and item.run is not None:  # this job was writing it when it was ended
            self.journal.replace(item)
        elif before is None:
            self.journal.kept(item, "its settings are unknown")
            self.kept.add(target, None)
        else:
            same = before.get(record.INPUT) == record.digest(source)
            planned = self.planner.look(found_of(item), source, before.get("model") if same else None)
            words = record.difference(before, self.planner.record(planned))
            if words == record.OTHER_INPUT and item.run is not None:
                self.journal.replace(item)
                return
            self.kept.add(target, words)
            if words:
                self.journal.kept(item, words)
            else:
                content = record.sha256_of_source(source)
                self.journal.note_all([(replace(item, content=content), planned.model)])
                self.journal.done(item, made, 0, 0.0)

    def _refuse_mixing(self, settings: Mapping[str, str]) -> None:
        """Raise `UsageError` if the folder has results of other settings. A result of another picture is no reason:
        that input has changed.
        """
        for before in journal_queries.settings_of_others(self.journal):
            resume.refuse(self.folder, before, settings, self.kept.count)
        resume.check(self.folder, self.request.settings(), self.kept.count)
        for told, kept in self.kept.other.items():
            if told != record.OTHER_INPUT:
                results = str(kept.first) if kept.count == 1 else f"{kept.count} results"
                raise UsageError(
                    f"{self.folder} contains {results} {told}; use the same settings, choose another folder with "
                    "`out`, or replace all results with `overwrite=True`"
                )

    def source(self, item: Item) -> Path | bytes:
        """The file of a picture, or its bytes. Raises `InputError` for one at a URL that cannot be read."""
        if is_url(item.source):
            return Storage(item.source).read()[0]
        if item.source != STDIO:
            return Path(item.source)
        if self._stdin is None:
            self._stdin = self._read_stdin()
        return self._stdin

    def fail(self, item: Item, error: BaseException, limits: str | None = None) -> None:
        """Enter a picture that cannot be upscaled, and add it to `failures`.

        limits: In place of this run's; see `Journal.failed`.
        """
        self.fail_all([(item, error)], limits)

    def fail_all(self, failures: Sequence[tuple[Item, BaseException]], limits: str | None = None) -> None:
        """`fail` of several at once."""
        if not failures:
            return
        own = self.limits  # other errors than those of the input may have passed at the next run
        self.journal.all_failed(
            (item, failure_code(error), str(error), limits or (own if isinstance(error, InputError) else None))
            for item, error in failures
        )
        for item, error in failures:
            self.failures.append(Outcome(item.source, self.place.path(item.target), 0, error=error))

    def close(self) -> None:
        """End the run; what it has in hand is left to the next one. Raises `OutputError`."""
        try:
            self.journal.release()
            self.journal.end()
        finally:
            self._guard.release()


def found_of(item: Item) -> InputFile:
    """The picture as `batch.paths` describes it."""
    return InputFile(None if item.source == STDIO else Path(item.source), Path(item.folder))


def _settings(request: Request, encoding: Encoding) -> dict[str, str]:
    """What the bytes of the results depend on, by parameter."""
    encoded = {"format": request.format, "quality": encoding.quality, "png_level": encoding.png_level}
    encoded |= {"target_kb": encoding.target_kb, "chroma": encoding.chroma}
    encoded["c2pa"] = encoding.c2pa
    encoded["no_provenance"] = None if encoding.provenance else ""
    return request.settings() | {name: str(value) for name, value in encoded.items() if value is not None}
