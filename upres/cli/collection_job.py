"""Run a collection of `upres upscale`: its progress, its messages and its exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from upres.batch.collection import Collection
from upres.batch.collection_run import CollectionRun
from upres.batch.estimate import estimate_seconds
from upres.batch.job import Encoding, Job, Outcome, Summary
from upres.batch.paths import Destination
from upres.batch.pool_run import PoolRun, setup_of
from upres.batch.process_pool import ProcessPool
from upres.batch.ray_pool import RayPool
from upres.batch.request import CollectionOptions, Request
from upres.cli.errors import say
from upres.cli.job_exit import leave
from upres.cli.job_words import TELL_FROM_S, tell_choices, tell_end, tell_left_out, tell_start
from upres.cli.json_lines import JsonLines
from upres.cli.progress import UpscaleProgress
from upres.system.cores import usable_cores
from upres.system.storage import is_url


def run_collection(
    request: Request,
    encoding: Encoding,
    destination: Destination,
    options: CollectionOptions,
    read_stdin: Callable[[], bytes],
    lines: JsonLines | None,
    debug: bool,
) -> int:
    """Run it and return the exit code; the arguments are those of `Collection`.

    lines: Prints JSON.
    debug: Print tracebacks.
    """
    collection = Collection(request, encoding, destination, read_stdin, options)
    try:
        start = time.monotonic()
        summary = run_opened(collection, lines)
        seconds = time.monotonic() - start
        tell_end(request, destination, summary, seconds, debug)
        if lines is not None:
            lines.end(summary, collection.kept.count, collection.reused, seconds)
    finally:
        collection.close()
    return leave(summary, collection.kept, collection.planner.upscalers.loaded.values())


def run_opened(collection: Collection, lines: JsonLines | None) -> Summary:
    """Run an open collection, with its messages and its progress."""
    tell_left_out(collection.left_out, collection.kept)
    with ExitStack() as stack:
        display = _Display(collection, stack, lines)
        count, address = collection.options.processes, collection.options.ray
        remote = collection.is_remote or any(map(is_url, collection.request.inputs))
        if count == 1 and not remote and address is None:
            summary = CollectionRun(collection).run(display)
        else:
            threads = 1 if address is not None else max(1, usable_cores() // count)
            setup = setup_of(collection, threads)
            pool = ProcessPool(count, setup) if address is None else RayPool(address, setup)
            stack.callback(pool.close)
            summary = PoolRun(collection, pool).run(display)
    display.tell_notes()
    if collection.reused:
        say(f"taken over: {collection.reused} x result of a picture with the same content")
    return summary


class _Display:
    """A `CollectionWatcher`: a bar for all pictures, which begins with the first of them."""

    def __init__(self, collection: Collection, stack: ExitStack, lines: JsonLines | None) -> None:
        self._collection, self._stack, self._lines = collection, stack, lines
        self._bar: UpscaleProgress | None = None
        self._told_models = set[str]()
        self._told_notes = 0

    def failed(self, outcomes: Sequence[Outcome]) -> None:
        if self._lines is not None:
            for outcome in outcomes:
                self._lines.picture(outcome)

    def planned(self, jobs: Sequence[Job], pixels_left: float, pictures_left: int) -> None:
        pixels = sum(job.plan.pixels for job in jobs)
        self.tell_notes()
        tell_choices(jobs, self._told_models)
        if self._bar is None:
            estimate_s = estimate_seconds(jobs, TELL_FROM_S) * (1.0 + pixels_left / max(1, pixels))
            if jobs:
                tell_start(list(jobs), estimate_s, pixels_left, pictures_left)
            tell = None if self._lines is None else self._lines.picture
            bar = UpscaleProgress(round(pixels + pixels_left), len(jobs) + pictures_left, estimate_s, tell)
            self._bar = self._stack.enter_context(bar)
        else:
            self._bar.retotal(pixels + pixels_left, len(jobs) + pictures_left)

    def tell_notes(self) -> None:
        """Say what is new among the notes of the collection."""
        for note in self._collection.notes[self._told_notes :]:
            say(f"note: {note}")
        self._told_notes = len(self._collection.notes)

    def advanced(self, pixels: int) -> None:
        assert self._bar is not None
        self._bar.advanced(pixels)

    def dropped(self, pixels: int) -> None:
        assert self._bar is not None
        self._bar.dropped(pixels)

    def finished(self, outcome: Outcome) -> None:
        assert self._bar is not None
        self._bar.finished(outcome)
