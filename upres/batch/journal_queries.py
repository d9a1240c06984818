"""Questions to a journal that only some ask."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from upres.batch.journal import Journal
from upres.batch.journal_rows import DONE, FAILED, OPEN, RUNNING, Item, get, put


def settings_of_others(journal: Journal) -> list[dict[str, str]]:
    """The settings of all other jobs here that are not finished."""
    rows = journal.data.query(
        "SELECT settings FROM jobs WHERE id != ? AND EXISTS"
        " (SELECT 1 FROM pictures WHERE job = jobs.id AND state IN (?, ?, ?))",
        (journal.job, OPEN, RUNNING, FAILED),
    )
    return [json.loads(text) for (text,) in rows]


def clashes(journal: Journal) -> Iterator[list[Item]]:
    """Groups of pictures whose results have one name, the one that gets it first: what is done, else by order."""
    names = journal.data.query(
        "SELECT wants FROM pictures WHERE job = ? AND seen >= ? GROUP BY wants HAVING count(*) > 1",
        (journal.job, journal.run),
    )
    for (name,) in names:
        yield journal.items(
            "job = ? AND seen >= ? AND wants = ? ORDER BY state NOT IN (?, ?), rank, source",
            (journal.job, journal.run, name, DONE, RUNNING),
        )


def inputs_in_the_way(journal: Journal, folded: Callable[[str], str] | None) -> list[tuple[Item, Item]]:
    """Pictures whose result would have the path of an input, each with that input.

    folded: Makes names equal that the output folder does not tell apart; None if it tells all apart.
    """
    if folded is not None:
        return [
            (one, other)
            for other in journal.stream("job = ? AND seen >= ?", (journal.job, journal.run))
            for one in journal.items(
                "job = ? AND seen >= ? AND wants = ?", (journal.job, journal.run, put(folded(other.key)))
            )
        ]
    pairs = journal.data.query(
        "SELECT one.id, other.id FROM pictures one JOIN pictures other"
        " ON other.job = one.job AND other.key = one.wants"
        " WHERE one.job = ? AND one.seen >= ? AND other.seen >= ? ORDER BY one.rank, one.source",
        (journal.job, journal.run, journal.run),
    )
    return [(journal.item(one), journal.item(other)) for one, other in pairs]


def failures(journal: Journal) -> Iterator[tuple[int, str, str]]:
    """(code, source, reason) of the pictures of this run that failed, a few at a time."""
    rows = journal.data.stream(
        "SELECT code, source, reason FROM pictures WHERE job = ? AND state = ? AND seen >= ?",
        (journal.job, FAILED, journal.run),
    )
    return ((code, get(source), reason) for code, source, reason in rows)


def has_vanished(journal: Journal) -> bool:
    """Whether pictures whose results are done were not seen by this run: they may have been moved."""
    rows = journal.data.query(
        "SELECT 1 FROM pictures WHERE job = ? AND state = ? AND seen < ? LIMIT 1", (journal.job, DONE, journal.run)
    )
    return bool(rows)


def results_for(journal: Journal, item: Item) -> set[str]:
    """The hashes of results that this job has written where that of `item` goes."""
    rows = journal.data.query(
        "SELECT result FROM pictures WHERE job = ? AND result IS NOT NULL"
        " AND wants = (SELECT wants FROM pictures WHERE id = ?)",
        (journal.job, item.id),
    )
    return {result for (result,) in rows}


def open_bytes(journal: Journal) -> Counter[str]:
    """Bytes of the open pictures of this run, by the last four letters of their names."""
    return Counter(
        dict(
            journal.data.query(
                "SELECT lower(substr(source, -4)), sum(max(bytes, 0)) FROM pictures"
                " WHERE job = ? AND seen >= ? AND state = ? GROUP BY 1",
                (journal.job, journal.run, OPEN),
            )
        )
    )


def twin(journal: Journal, item: Item, content: str) -> Item | None:
    """A picture of this job with the same content whose result is done and has the same kind of file."""
    ending = Path(item.target).suffix
    rows = journal.items("content = ? AND state = ? AND job = ? AND id != ?", (content, DONE, journal.job, item.id))
    return next((row for row in rows if Path(row.target).suffix == ending), None)
