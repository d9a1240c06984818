"""Downloads of models: license, size and origin first, then progress, then what was pinned. All on stderr."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from upres.cli.errors import say
from upres.cli.progress import JobProgress
from upres.system.text import words_for_bytes

if TYPE_CHECKING:
    from upres.models.model import Model
    from upres.models.store import Pulled

_EVERY_S = 10.0  # between two lines of a log


def have_models(expressions: Iterable[str]) -> None:
    """Download the models of these names, blends and chains that are downloadable and not on this machine.

    Other models, and paths, are left to the verb that uses them. Raises `UsageError` if a text is not an expression,
    and what `models.store.pull` raises, also for a license that was not accepted.
    """
    from upres.models.catalog import find
    from upres.models.expression import parse

    for part in (part for expression in expressions for part in parse(expression).parts):
        model = find(part.model)
        if model is not None and model.kind == "downloadable" and not model.local_files():
            pull_aloud(model)


def pull_aloud(model: Model, *, accept_license: bool = False) -> Pulled:
    """`models.store.pull`, which first says name, license, size and origin."""
    from upres.models.store import check_license, pull

    quiet_log()
    if not model.local_files():
        check_license(model.name, model.license, accept=accept_license, page=model.page)
        hosts = dict.fromkeys(_host(url) for file in model.files for url in file.urls)
        say(f"{model.name}: {model.license}, {_size(model.files[0].bytes)}, from {' or '.join(hosts)}")
    with shown_progress(model.name) as progress:
        pulled = pull(model, accept_license=accept_license, progress=progress)
    if pulled.pinned is not None:
        say(f"{model.name}: its SHA-256 was unknown; the file is trusted, and pinned from now on: {pulled.pinned}")
    return pulled


def _host(url: str) -> str:
    from upres.models.model import is_package

    return "your Python package index" if is_package(url) else urlsplit(url).hostname or url


def _size(size: int | None) -> str:
    return "size unknown" if size is None else words_for_bytes(size, unit=1000)


def quiet_log() -> None:
    """Keep the library's log of a download off stderr: the command line has its own messages."""
    import logging

    logging.getLogger("upres").addHandler(logging.NullHandler())


@contextmanager
def shown_progress(name: str) -> Generator[Callable[[int, int | None], None]]:
    """The display of a download, shown from the first bytes on."""
    with ExitStack() as stack:
        job = JobProgress(name, None, _amount, log_every_s=_EVERY_S)
        shown = False

        def progress(done: int, total: int | None) -> None:
            nonlocal shown
            if not shown:
                stack.enter_context(job)
                shown = True
            job.update(done, total)

        yield progress


def _amount(done: float, total: float | None) -> str:
    return words_for_bytes(done, unit=1000) + ("" if total is None else f" of {words_for_bytes(total, unit=1000)}")
