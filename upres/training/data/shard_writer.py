"""Writes shards (`shards.py`).

While a set is being written, the folder holds a marker, so that a later run can clean up after one that was killed, and
its files have temporary names: a set that they replace stays whole until all of them are there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final

import numpy as np

from upres.system.files import output_error
from upres.training.data.images import Levels
from upres.training.data.shards import FORMAT, INDEX, VERSION, Entry, digest_of, is_shards

_ALIGNMENT: Final = 64
_NAME: Final = "shard_[0-9]*.bin"
_HALVES: Final = (".shard_[0-9]*.partial", f".{INDEX}.*.partial")
_MARK: Final = ".upres-prepare"  # present while a set is written


@dataclass
class ShardWriter:
    """Writes crops into `folder`, at most `most_bytes` per shard (but at least one crop); `finish` writes the index.

    All are written under temporary names, and renamed by `finish`, which removes the set that they replace. Raises
    `OutputError`; the folder is then what it was before.
    """

    folder: Path
    channels: int
    depth: int
    most_bytes: int
    shards: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _file: BufferedWriter | None = None
    _hash: Any = None
    _bytes: int = 0

    def add(self, picture: str, levels: Levels, top: int = 0, left: int = 0, reduced: float = 1.0) -> Entry:
        """Append one crop `h w c`; returns its entry."""
        expected = np.dtype(np.uint8 if self.depth == 8 else np.uint16)
        if levels.dtype != expected or levels.shape[2] != self.channels:
            raise ValueError(f"expected {expected} with {self.channels} channels, got {levels.dtype} {levels.shape}")
        data = np.ascontiguousarray(levels, expected.newbyteorder("<")).tobytes()
        if self._file is not None and self._bytes + len(data) > self.most_bytes:
            self._close()
        try:
            if self._file is None:
                self._open()
            entry = Entry(picture, len(self.shards), self._bytes, levels.shape[0], levels.shape[1], top, left, reduced)
            self._write(data + bytes(-len(data) % _ALIGNMENT))
        except OSError as error:
            raise output_error(self.folder, error) from error
        return entry

    def finish(self, crops: Sequence[Entry], validation: Sequence[Entry], facts: dict[str, Any]) -> None:
        """Close the last shard, write the index, including `facts`, and put both in the place of an older set."""
        self._close()
        both = (("crops", crops), ("validation", validation))
        rows = {name: [list(vars(entry).values()) for entry in entries] for name, entries in both}
        body = {
            "format": FORMAT, "version": VERSION, "channels": self.channels, "depth": self.depth,
            "shards": self.shards, **rows, **facts,
        }  # fmt: skip
        index = self.folder / f".{INDEX}.new.partial"
        try:
            with index.open("wb") as file:
                file.write(json.dumps({**body, "sha256": digest_of(body)}).encode())
                file.flush()
                os.fsync(file.fileno())
            for path in (self.folder / INDEX, *self.folder.glob(_NAME)):  # without an index the rest is no set
                path.unlink(missing_ok=True)
            for number in range(len(self.shards)):
                _path(self.folder, number, half=True).replace(_path(self.folder, number, half=False))
            index.replace(self.folder / INDEX)
            (self.folder / _MARK).unlink(missing_ok=True)
        except OSError as error:
            raise output_error(self.folder, error) from error

    def abandon(self) -> None:
        """Close without an index: an older set in the folder stays, else the next run clears what is left."""
        if self._file is not None:
            with suppress(OSError):  # a full disk: the buffered bytes are not needed
                self._file.close()
            self._file = None
        if is_shards(self.folder) and (self.folder / _MARK).exists():
            with suppress(OSError):  # the next run removes them
                for path in (*_halves(self.folder), self.folder / _MARK):
                    path.unlink(missing_ok=True)

    def _open(self) -> None:
        self._file = _path(self.folder, len(self.shards), half=True).open("wb")
        self._hash, self._bytes = hashlib.sha256(), 0

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)

    def _close(self) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise output_error(self.folder, error) from error
        self._file = None
        name = f"shard_{len(self.shards):04d}.bin"
        self.shards.append({"file": name, "bytes": self._bytes, "sha256": self._hash.hexdigest()})


def begin(folder: Path) -> None:
    """Create `folder`, mark it as incomplete and delete the remains of unfinished sets in it. Call `strangers` first.

    A complete set stays until `ShardWriter.finish` replaces it.

    Raises `OutputError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _MARK).touch()
        for path in _halves(folder) if is_shards(folder) else _own(folder):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def strangers(folder: Path) -> list[str]:
    """Names of the files in `folder` that this module did not write; all of them if it holds no shards, complete or
    not.
    """
    ours = {*_own(folder), folder / _MARK} if is_shards(folder) or (folder / _MARK).exists() else set[Path]()
    return sorted(path.name for path in folder.iterdir() if path not in ours)


def _own(folder: Path) -> list[Path]:
    return [folder / INDEX, *folder.glob(_NAME), *_halves(folder)]


def _halves(folder: Path) -> list[Path]:
    return [path for half in _HALVES for path in folder.glob(half)]


def _path(folder: Path, number: int, half: bool) -> Path:
    name = f"shard_{number:04d}"
    return folder / (f".{name}.partial" if half else f"{name}.bin")
