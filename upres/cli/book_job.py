"""Archives and books of `upres upscale`: one after the other, each as one input."""

from __future__ import annotations

import os
import time
from pathlib import Path

from upres.batch.book_job import run_book, target_of
from upres.batch.collection import Collection
from upres.batch.find_books import FoundBook
from upres.batch.job import Encoding, Kept, Summary
from upres.batch.paths import Destination
from upres.batch.request import CollectionOptions, Request
from upres.cli.collection_job import run_opened
from upres.cli.errors import say
from upres.cli.job_exit import leave
from upres.cli.job_words import tell_end, tell_left_out
from upres.cli.json_lines import JsonLines
from upres.errors import UsageError
from upres.models.load import load_model
from upres.system.folders import exists
from upres.system.text import shown


def run_books(
    books: list[FoundBook],
    request: Request,
    encoding: Encoding,
    options: CollectionOptions,
    lines: JsonLines | None,
    debug: bool,
) -> int:
    """Upscale the pictures of each book and return the exit code.

    lines: Prints JSON.
    debug: Print tracebacks.
    """
    scale = None if request.model is None else load_model(request.composition()).scale
    targets = [(book.path, target_of(book, request, scale)) for book in books]
    _refuse_clashes(targets)
    total, kept, start, last = Summary(), Kept(), time.monotonic(), Destination("png")
    for book, target in targets:
        if exists(target) and not request.overwrite:
            kept.add(target, "")
            continue

        def run(collection: Collection) -> Summary:
            return run_opened(collection, lines)

        summary, notes = run_book(book, target, request, encoding, options, run)
        for note in notes:
            say(f"note: {shown(book)}: {note}")
        total.include(summary, summary.failures)
        last = Destination("png", folder=target)
        if summary.interrupted or summary.left:
            break
    seconds = time.monotonic() - start
    tell_left_out({}, kept)
    tell_end(request, last, total, seconds, debug)
    if lines is not None:
        lines.end(total, kept.count, 0, seconds)
    return leave(total, kept, ())


def _refuse_clashes(targets: list[tuple[Path, Path]]) -> None:
    first: dict[str, Path] = {}
    for book, target in targets:
        other = first.setdefault(os.path.normcase(os.path.realpath(target)), book)
        if other != book:
            raise UsageError(
                f"{shown(book)} and {shown(other)} have the same output {shown(target)}; rename one, or give each an "
                "`out` of its own"
            )
