"""The settings of an unfinished job, kept in its output folder: going on with other settings cannot mix two kinds of result.

While pictures are left, or have failed, a small hidden file holds what the pixels of the results depend on; it is gone when all are done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from upres.errors import UsageError
from upres.system.files import write_atomic

NAME = ".upres-job.json"
FORMAT = 2
_FORMAT_1 = {"-n": "model", "--scale": "factor"}  # format 1 has no number, and options in place of parameters: "--color-lock"


def check(folder: Path, settings: Mapping[str, str], kept: int) -> None:
    """Raises `UsageError` naming what differs where `folder` holds `kept` results of an unfinished job that had other settings.

    `settings` are parameters and their values, "" for True. A journal of a later format is refused by its number; one that is torn or not
    ours says nothing and stops nobody.
    """
    before = _read(folder)
    if before is None or before == settings or not kept:
        return
    changes = [
        f"`{name}`: {_words(before.get(name))} then, {_words(settings.get(name))} now"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    results = "a result" if kept == 1 else f"{kept} results"
    raise UsageError(
        f"{folder} holds {results} of an unfinished job with other settings ({'; '.join(changes)}): go on with those, choose another "
        "folder with `out`, or make all anew with `overwrite=True`"
    )


def begin(folder: Path, settings: Mapping[str, str]) -> None:
    """Note the settings of a job whose results go into `folder`. Raises `OutputError` where it cannot be written."""
    note = "settings of an unfinished upres job; the file goes when the job is through"
    journal = {"what": note, "format": FORMAT, "settings": dict(settings)}
    write_atomic(folder / NAME, json.dumps(journal, indent=1).encode())


def end(folder: Path) -> None:
    """The job is through: nothing is left to be mixed."""
    (folder / NAME).unlink(missing_ok=True)


def _read(folder: Path) -> dict[str, str] | None:
    """The settings by parameter, whatever the format."""
    try:
        found: object = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return None
    journal = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    settings, number = journal.get("settings"), journal.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise UsageError(
            f"{folder / NAME} has format {number}, and this version of upres knows formats up to {FORMAT}: go on with the version that "
            "began the job, choose another folder with `out`, or make all anew with `overwrite=True`"
        )
    if not isinstance(settings, dict) or number not in (1, FORMAT):
        return None
    named = {str(name): str(value) for name, value in cast("dict[object, object]", settings).items()}
    if number == FORMAT:
        return named
    return {_FORMAT_1.get(name) or name.removeprefix("--").replace("-", "_"): value for name, value in named.items()}


def _words(value: str | None) -> str:
    return "not given" if value is None else value or "given"
