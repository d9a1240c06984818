"""Shards: decoded crops of pictures in a few large memory-mapped files, with an index and hashes.

A folder of shards holds `shard_0000.bin` and so on, raw pixels `h w c` one crop after the other (uint8, or uint16
little-endian), aligned to 64 bytes, and `index.json`, which is written last and makes the folder a set of shards. While
the set is being written, the folder holds a marker, so that a later run can clean up after one that was killed, and its
files have temporary names: a set that they replace stays whole until all of them are there. Reading needs only numpy.
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
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError
from upres.system.files import output_error, sha256_of
from upres.training.data.images import Levels

INDEX: Final = "index.json"
_FORMAT: Final = "upres shards"
_VERSION: Final = 1
_ALIGNMENT: Final = 64
_NAME: Final = "shard_[0-9]*.bin"
_HALVES: Final = (".shard_[0-9]*.partial", f".{INDEX}.*.partial")
_MARK: Final = ".upres-prepare"  # present while a set is written


@dataclass(frozen=True)
class Entry:
    """One crop.

    picture: name of the picture's file.
    shard, offset: number of the shard and position in bytes.
    height, width: in pixels.
    top, left: position in the picture.
    reduced: factor by which the picture was downscaled.
    """

    picture: str
    shard: int
    offset: int
    height: int
    width: int
    top: int = 0
    left: int = 0
    reduced: float = 1.0


@dataclass(frozen=True)
class Shards:
    """An opened set of shards.

    folder: where it is.
    crops, validation: pairs of a picture's name and its pixels `h w c`, mapped read-only.
    channels, depth: of all crops.
    fingerprint: SHA-256 over the hashes of the shards and the positions of the crops.
    """

    folder: Path
    crops: list[tuple[str, Levels]]
    validation: list[tuple[str, Levels]]
    channels: int
    depth: int
    fingerprint: str


def is_shards(folder: Path) -> bool:
    """Whether `folder` holds a set of shards, judging by its index."""
    try:
        with (folder / INDEX).open("rb") as file:
            return f'"format": "{_FORMAT}"'.encode() in file.read(4096)
    except OSError:
        return False


def open_shards(folder: Path, verify: bool = True) -> Shards:
    """Open the shards in `folder`, checking their sizes and, if `verify`, hashes.

    Raises `DataError` naming a damaged shard.
    """
    index = _read_index(folder)
    try:
        return _map(folder, index, verify)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(
            f"{folder / INDEX} does not match its shards ({error!r}): make them again with upres prepare"
        ) from error


def _map(folder: Path, index: dict[str, Any], verify: bool) -> Shards:
    channels, depth = index["channels"], index["depth"]
    if channels not in (1, 3) or depth not in (8, 16):
        raise DataError(
            f"{folder / INDEX}: expected 1 or 3 channels of 8 or 16 bits, found {channels} of {depth}: make the shards "
            "again"
        )
    dtype = np.dtype(np.uint8 if depth == 8 else "<u2")
    maps: list[NDArray[Any]] = []
    for shard in index["shards"]:
        path = folder / Path(shard["file"]).name
        if not path.is_file() or path.stat().st_size != shard["bytes"]:
            found = f"{path.stat().st_size:,} bytes" if path.is_file() else "no such file"
            raise DataError(
                f"{path}: expected {shard['bytes']:,} bytes, found {found}: make the shards again with upres prepare"
            )
        if verify and sha256_of(path) != shard["sha256"]:
            raise DataError(
                f"{path} is damaged: its SHA-256 does not match the index. Make the shards again with upres prepare"
            )
        maps.append(np.memmap(path, np.uint8, mode="r"))

    def levels(entry: Entry) -> Levels:
        end = entry.offset + entry.height * entry.width * channels * dtype.itemsize
        if min(entry.shard, entry.offset) < 0 or min(entry.height, entry.width) < 1 or end > len(maps[entry.shard]):
            raise IndexError(f"{entry} lies outside")
        return cast(
            "Levels",
            np.asarray(maps[entry.shard][entry.offset : end]).view(dtype).reshape(entry.height, entry.width, channels),
        )

    crops, validation = (
        [(entry.picture, levels(entry)) for entry in _entries(index[key])] for key in ("crops", "validation")
    )
    return Shards(folder, crops, validation, channels, depth, fingerprint_of(index))


def fingerprint_of(index: dict[str, Any]) -> str:
    """SHA-256 over what determines the pixels: the hashes of the shards and the position of each crop."""
    facts = [[shard["sha256"] for shard in index["shards"]]]
    facts += [index[name] for name in ("crops", "validation", "channels", "depth")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _entries(rows: Sequence[Sequence[Any]]) -> list[Entry]:
    return [Entry(*row) for row in rows]


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Make the shards again with upres prepare") from error
    if not isinstance(index, dict) or cast("dict[str, Any]", index).get("format") != _FORMAT:
        raise DataError(f"{path} is not an index of shards")
    table = cast("dict[str, Any]", index)
    if table.get("version") != _VERSION:
        raise DataError(
            f"{path} has version {table.get('version')}, but this upres reads version {_VERSION}: make the shards again"
        )
    body = {key: value for key, value in table.items() if key != "sha256"}
    if table.get("sha256") != _digest(body):
        raise DataError(
            f"{path} is damaged: its content does not match its SHA-256. Make the shards again with upres prepare"
        )
    return table


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


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
            "format": _FORMAT, "version": _VERSION, "channels": self.channels, "depth": self.depth,
            "shards": self.shards, **rows, **facts,
        }  # fmt: skip
        index = self.folder / f".{INDEX}.new.partial"
        try:
            with index.open("wb") as file:
                file.write(json.dumps({**body, "sha256": _digest(body)}).encode())
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
