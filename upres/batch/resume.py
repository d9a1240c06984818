"""Settings of jobs: one job at a time in a folder, and what earlier versions left of an unfinished one.

They kept its settings in a small hidden file, which is read, and removed when the journal has taken its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from upres.errors import UsageError
from upres.system.files import output_error
from upres.system.lock import FileGuard, is_held
from upres.system.text import parse_json

NAME = ".upres-job.json"
_LOCK = ".upres-job."  # and the settings' hash, the process, a number of its own and ".lock"
FORMAT = 2
_FORMAT_1 = {
    "-n": "model",
    "--scale": "factor",
}  # format 1 has no number, and names options instead of parameters: "--color-lock"


def check(folder: Path, settings: Mapping[str, str], kept: int) -> None:
    """Raise `UsageError`, naming the differences, if `folder` has results of an unfinished job of an earlier version
    with other settings.

    folder: The output folder.
    settings: Values by parameter, "" for True.
    kept: Number of results in the folder.

    A file of a later format is refused too. One that is damaged or not ours is ignored.
    """
    before = _read(folder)
    if before is not None:
        refuse(folder, before, settings, kept)


def refuse(folder: Path, before: Mapping[str, str], settings: Mapping[str, str], kept: int) -> None:
    """Raise `UsageError`, naming the differences, if the settings of an unfinished job in `folder` are others than now
    and `kept` results are there.
    """
    if before == settings or not kept:
        return
    changes = [
        f"`{name}`: {_words(before.get(name))} before, {_words(settings.get(name))} now"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    results = "a result" if kept == 1 else f"{kept} results"
    raise UsageError(
        f"{folder} contains {results} of an unfinished job with other settings ({'; '.join(changes)}); "
        "use the same settings, choose another folder with `out`, or replace all results with `overwrite=True`"
    )


def hold(folder: Path, settings: Mapping[str, str]) -> FileGuard:
    """A lock on `folder` that jobs with the same settings share, and that refuses others while one of them runs.

    Raises `UsageError` if a job with other settings runs there, `OutputError` if the folder is not writable.
    """
    own = hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    name = (
        f"{_LOCK}{own}.{os.getpid()}-{secrets.token_hex(4)}.lock"  # a process of another container has this number too
    )
    guard = FileGuard(folder / name, f"{name} is in use")
    others = (path for path in folder.glob(f"{_LOCK}*.lock") if not path.name.startswith(f"{_LOCK}{own}."))
    if any(map(is_held, others)):
        guard.release()
        raise UsageError(
            f"another upres job with other settings is writing to {folder}; wait for it, or choose another folder with "
            "`out`"
        )
    return guard


def recorded_models(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The model of each picture, by name, that an unfinished job with the same settings has chosen."""
    journal = _load(folder)
    models: object = journal.get("models")
    if _read(folder) != settings or not isinstance(models, dict):
        return {}
    return {str(name): str(model) for name, model in cast("dict[object, object]", models).items()}


def end(folder: Path) -> None:
    """Remove the file of an earlier version. Raises `OutputError` if the folder does not allow it."""
    try:
        (folder / NAME).unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder / NAME, error) from error


def _load(folder: Path) -> dict[str, Any]:
    """The saved file; empty if there is none, or not of ours."""
    try:
        found: object = parse_json((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _read(folder: Path) -> dict[str, str] | None:
    """The saved settings by parameter, from any known format; None if there are none."""
    journal = _load(folder)
    settings, number = journal.get("settings"), journal.get("format", 1)
    if isinstance(number, int) and number > FORMAT:
        raise UsageError(
            f"{folder / NAME} has format {number}; this version of upres reads formats up to {FORMAT}: "
            "use the version that started the job, choose another folder with `out`, "
            "or replace all results with `overwrite=True`"
        )
    if not isinstance(settings, dict) or number not in (1, FORMAT):
        return None
    named = {str(name): str(value) for name, value in cast("dict[object, object]", settings).items()}
    if number == FORMAT:
        return named
    return {_FORMAT_1.get(name) or name.removeprefix("--").replace("-", "_"): value for name, value in named.items()}


def _words(value: str | None) -> str:
    return "not set" if value is None else value or "set"
