"""Results that need not be made again: of a picture that was moved, or of one with the same content."""

from __future__ import annotations

from pathlib import Path

from upres.batch import journal_queries
from upres.batch.journal import Journal
from upres.batch.journal_rows import Item
from upres.batch.paths import make_folder
from upres.system.files import commit_partial, output_error, sha256_of, write_atomic


def take_over(journal: Journal, item: Item, content: str) -> Item | None:
    """Take the result of another picture with that content, where it is undamaged: moved if that picture is gone, else
    copied. Returns that picture, or None if there is none. Raises `OutputError`.
    """
    twin = journal_queries.twin(journal, item, content)
    if twin is None or twin.result is None or twin.target == item.target:
        return None
    result, target = journal.folder / twin.target, journal.folder / item.target
    try:
        if sha256_of(result) != twin.result:
            return None
    except OSError:
        return None
    make_folder(target.parent)
    try:
        if Path(twin.key).exists():
            write_atomic(target, result.read_bytes())
            journal.done(item, twin.result, 0, 0.0)
        else:
            commit_partial(result, target)
            journal.move(item, twin, twin.result, 0)
    except OSError as error:
        raise output_error(target, error) from error
    return twin
