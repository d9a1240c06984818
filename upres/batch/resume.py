"""The settings of an unfinished job, kept in its output folder: going on with other settings cannot mix two kinds of result.

A result says nothing of how it was made, and a job is resumed by keeping what is there. So while pictures are left, a small hidden file
holds what their pixels depend on; it is gone when the job is through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from upres.errors import UsageError
from upres.system.files import write_atomic

NAME = ".upres-job.json"


def check(folder: Path, settings: Mapping[str, str], kept: int) -> None:
    """Raises `UsageError` naming what differs where `folder` holds `kept` results of an unfinished job that had other settings.

    `settings` are options and their values, "" for one without. A journal that is torn or not ours says nothing and stops nobody.
    """
    before = _read(folder / NAME)
    if before is None or before == settings or not kept:
        return
    changes = [
        f"{name}: {_words(before.get(name))} then, {_words(settings.get(name))} now"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    results = "a result" if kept == 1 else f"{kept} results"
    raise UsageError(
        f"{folder} holds {results} of an unfinished job with other settings ({'; '.join(changes)}): go on with those, choose another "
        "folder with -o, or make all anew with --overwrite"
    )


def begin(folder: Path, settings: Mapping[str, str]) -> None:
    """Note the settings of a job whose results go into `folder`. Raises `OutputError` where it cannot be written."""
    note = "settings of an unfinished upres job; the file goes when the job is through"
    write_atomic(folder / NAME, json.dumps({"what": note, "settings": dict(settings)}, indent=1).encode())


def end(folder: Path) -> None:
    """The job is through: nothing is left to be mixed."""
    (folder / NAME).unlink(missing_ok=True)


def _read(path: Path) -> dict[str, str] | None:
    try:
        found: object = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    settings = cast("dict[str, object]", found).get("settings") if isinstance(found, dict) else None
    if not isinstance(settings, dict):
        return None
    return {str(name): str(value) for name, value in cast("dict[object, object]", settings).items()}


def _words(value: str | None) -> str:
    return "not given" if value is None else value or "given"
