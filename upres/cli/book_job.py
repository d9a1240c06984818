"""Archives and books of `upres upscale`: one after the other, each as one input."""

from __future__ import annotations

import time
from pathlib import Path

from upres.batch.book_job import run_book, target_of
from upres.batch.collection import Collection
from upres.batch.job import Encoding, Kept, Summary
from upres.batch.paths import Destination
from upres.batch.request import CollectionOptions, Request
from upres.cli.collection_job import run_opened
from upres.cli.errors import say
from upres.cli.job_exit import leave
from upres.cli.job_words import tell_end
from upres.cli.json_lines import JsonLines
from upres.models.load import load_model
from upres.system.folders import exists
from upres.system.text import shown


def run_books(
    books: list[Path],
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
    targets = [(book, target_of(book, request, scale)) for book in books]
    total, start, last = Summary(), time.monotonic(), Destination("png")
    for book, target in targets:
        if exists(target) and not request.overwrite:
            say(f"kept: {shown(target)} exists (`overwrite=True` replaces it)")
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
    tell_end(request, last, total, seconds, debug)
    if lines is not None:
        lines.end(total, 0, 0, seconds)
    return leave(total, Kept(), ())
