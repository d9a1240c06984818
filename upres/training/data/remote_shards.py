"""Shards on a web server or in an object store, such as `s3://bucket/photos`: the folder that `upres prepare` made,
uploaded as it is.

The index is read each time. Shards are fetched into a folder of the cache, under their SHA-256, before the first step:
every crop may be drawn at any time. What was fetched once stays, for later runs too, and the ranks of a machine share
it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from upres.errors import DataError, OutputError
from upres.system.download import cache_folder
from upres.system.remote_file import below, fetch_object, read_object, shown_url
from upres.system.text import words_for_estimate
from upres.training.data.shards import INDEX, Shards, file_of, map_shards, parse_index

_MOST_INDEX_BYTES = 1 << 29
_SAY_S = 10.0
_RESERVE_BYTES = 64 << 20  # left free on the disk of the cache


def open_remote(url: str, say: Callable[[str], None]) -> Shards:
    """The shards below `url`, fetched as far as they are not in the cache; `say` is told every ten seconds.

    Raises `InputError` for what is not there or damaged, `OutputError` for a disk without room, `DataError` for a
    damaged index, `EngineError` if a package is missing.
    """
    where = shown_url(below(url, INDEX))
    index = parse_index(read_object(below(url, INDEX), _MOST_INDEX_BYTES), where)
    folder = cache_folder() / "shards"

    def path_of(shard: Mapping[str, Any]) -> Path:
        digest = str(shard["sha256"])
        if len(digest) != 64 or not digest.isalnum():
            raise TypeError(f"{digest!r} is no SHA-256")
        return folder / f"{digest}.bin"

    try:
        wanted = [(below(url, file_of(shard)), path_of(shard), int(shard["bytes"])) for shard in index["shards"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where} does not list its shards ({error!r}): make them again with upres prepare") from error
    _check_room(folder, sum(size - _held(path) for _, path, size in wanted))
    told = _Told(shown_url(url), sum(size for *_, size in wanted), say)
    for address, path, size in wanted:
        before = told.done
        fetch_object(address, path, size=size, sha256=path.stem, progress=told.add)
        told.done = before + size
    return map_shards(where, index, path_of, verify=False)  # `fetch_object` has compared the SHA-256


def _held(path: Path) -> int:
    """Bytes of it that the cache holds."""
    for one in (path, path.with_name(f"{path.name}.partial")):
        if one.is_file():
            return one.stat().st_size
    return 0


def _check_room(folder: Path, missing: int) -> None:
    here = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(here).free
    if missing > 0 and missing + _RESERVE_BYTES > free:
        raise OutputError(
            f"the shards need {missing / 1e9:.1f} GB more in {folder}, where {free / 1e9:.1f} GB are free: free some "
            "space, or name another folder by UPRES_CACHE"
        )


class _Told:
    """Says how far it is, and how long it will take at the pace so far."""

    def __init__(self, url: str, total: int, say: Callable[[str], None]) -> None:
        self.done, self._url, self._total, self._say = 0, url, total, say
        self._begun = self._last = time.monotonic()
        self._received = 0

    def add(self, got: int) -> None:
        self.done += got
        self._received += got
        now = time.monotonic()
        if now - self._last < _SAY_S:
            return
        self._last = now
        left_s = (self._total - self.done) * (now - self._begun) / max(1, self._received)
        self._say(
            f"fetching {self._url}: {self.done / 1e9:.2f} of {self._total / 1e9:.2f} GB, "
            f"{words_for_estimate(left_s)} left"
        )
