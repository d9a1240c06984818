"""Silent damage of model files: no format notices a flipped bit, so a file is compared with what was known of it.

That is the report that `upres export` writes beside its files, and else the SHA-256 at the first use of the file on
this machine, which the user's cache remembers. A cache that is not writable is no error.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import ModelError, OutputError
from upres.system.download import cache_folder
from upres.system.files import sha256_of, write_atomic
from upres.system.text import parse_json, shown

_LEAST_NUMBERS = 4096  # smaller networks may well be half zero
_REPORT_BYTES = 1 << 20  # a larger .json is not a report of ours

_log = logging.getLogger(__name__)


def check_file(path: Path) -> tuple[str, ...]:
    """Notes for the user about a file of theirs. Remembers its SHA-256, to compare it with at the next use.

    Raises:
        ModelError: It is not the file that its report beside it describes, or its bytes have changed although its date
            has not, as by a failing disk.
    """
    try:
        found, facts = sha256_of(path), path.stat()
    except OSError:  # the reader tells
        return ()
    expected = _reported(path)
    if expected is not None and expected != found:
        raise ModelError(
            f"model file {shown(path)}: its SHA-256 is {found}, but {shown(path.with_suffix('.json').name)} beside it "
            f"says {expected}: it is damaged or was replaced. Export it again, or delete the report if you replaced it"
        )
    now = {"path": str(path.absolute()), "sha256": found, "modified_ns": facts.st_mtime_ns, "bytes": facts.st_size}
    before = _recall(path)
    if before is not None and before.get("sha256") == found:
        return ()
    same_date = before is not None and before.get("modified_ns") == facts.st_mtime_ns
    if before is not None and same_date and before.get("bytes") == facts.st_size:
        raise ModelError(
            f"model file {shown(path)}: its bytes have changed since its last use, but its date has not: the disk may "
            f"be failing. Copy or download it again (its SHA-256 was {before.get('sha256')} and is {found})"
        )
    _remember(path, now)
    if before is None:
        return ()
    return (f"{shown(path)} has changed since its last use (its SHA-256 was {before.get('sha256')}, is {found})",)


def check_weights(name: str, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Raise ModelError if the first or the last half of all numbers is zero, as in a file of which a half was lost."""
    arrays = [array.reshape(-1) for array in weights.values() if array.dtype.kind == "f"]
    count = sum(array.size for array in arrays)
    if count < _LEAST_NUMBERS:
        return
    for place, ordered in (("first", arrays), ("last", [array[::-1] for array in reversed(arrays)])):
        zeros = _leading_zeros(ordered)
        if count > zeros >= count / 2:
            raise ModelError(
                f"model {name}: the {place} {zeros:,} of its {count:,} numbers are zero: a part of the file was lost. "
                "Copy or download it again"
            )


def _leading_zeros(arrays: Iterable[NDArray[np.generic]]) -> int:
    zeros = 0
    for array in arrays:
        others = np.flatnonzero(array)
        if others.size:
            return zeros + int(others[0])
        zeros += array.size
    return zeros


def _reported(path: Path) -> str | None:
    """The SHA-256 of `path` in a report of `upres export` beside it; None where there is no such report."""
    beside = path.with_suffix(".json")
    try:
        if not beside.is_file() or beside.stat().st_size > _REPORT_BYTES:
            return None
        report: Any = parse_json(beside.read_bytes())
        if "tolerance" not in report or "checks" not in report:  # somebody else's
            return None
        return next((str(file["sha256"]) for file in report["files"] if file["file"] == path.name), None)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _place(path: Path) -> Path:
    """The file in the cache that remembers `path`."""
    key = hashlib.sha256(str(path.absolute()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache_folder() / "used" / f"{key}.json"


def _recall(path: Path) -> dict[str, Any] | None:
    try:
        found: object = parse_json(_place(path).read_bytes())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: the user has no home
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "sha256" in found else None


def _remember(path: Path, facts: Mapping[str, object]) -> None:
    try:
        place = _place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, json.dumps(facts).encode())
    except (OSError, OutputError, RuntimeError) as error:
        _log.debug("the SHA-256 of %s is not remembered: %s", path, error)
