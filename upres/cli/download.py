"""Downloading models with license, size and origin told first, progress, and what was pinned. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from upres.cli.errors import say

if TYPE_CHECKING:
    from upres.models.model import Model
    from upres.models.store import Pulled

_EVERY_S = 10.0  # between two lines of a log


def words_for_bytes(size: int | None) -> str:
    """`"67.0 MB"`, `"256 kB"`, or `"size unknown"`: powers of ten, as web pages and file managers count."""
    if size is None:
        return "size unknown"
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(min(size, 1), round(size / 1e3))} kB"


def have_models(expressions: Iterable[str]) -> None:
    """Download the models of these names, blends and chains that are downloadable and not on this machine.

    All others, paths too, are left to the verb that uses them. Raises `UsageError` for a text that is no expression, and what
    `models.store.pull` raises, also for a license that was not accepted.
    """
    from upres.models.catalog import find
    from upres.models.expression import parse

    for part in (part for expression in expressions for part in parse(expression).parts):
        model = find(part.model)
        if model is not None and model.kind == "downloadable" and not model.local_files():
            pull_aloud(model)


def pull_aloud(model: Model, *, accept_license: bool = False) -> Pulled:
    """`models.store.pull`, with name, license, size and origin told before a download."""
    from upres.models.store import check_license, pull

    quiet_log()
    if not model.local_files():
        check_license(model.name, model.license, accept=accept_license, page=model.page)
        hosts = dict.fromkeys(urlsplit(url).hostname or url for file in model.files for url in file.urls)
        say(f"{model.name}: {model.license}, {words_for_bytes(model.files[0].bytes)}, from {' or '.join(hosts)}")
    with shown_progress(model.name) as progress:
        pulled = pull(model, accept_license=accept_license, progress=progress)
    if pulled.pinned is not None:
        say(f"{model.name}: its SHA-256 was not known: the file is trusted as it came, and pinned from now on: {pulled.pinned}")
    return pulled


def quiet_log() -> None:
    """Keep what the library logs of a download off stderr: the command line says it in its own words."""
    import logging

    logging.getLogger("upres").addHandler(logging.NullHandler())


@contextmanager
def shown_progress(name: str) -> Generator[Callable[[int, int | None], None]]:
    """A bar on a terminal; elsewhere a line every ten seconds. Nothing shows until the first bytes are there."""
    if not sys.stderr.isatty():
        yield _lines(name)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(name: str) -> Callable[[int, int | None], None]:
    said = time.monotonic()

    def progress(done: int, total: int | None) -> None:
        nonlocal said
        if time.monotonic() - said >= _EVERY_S:
            said = time.monotonic()
            say(f"{name}: {words_for_bytes(done)}" + ("" if total is None else f" of {words_for_bytes(total)}"))

    return progress
