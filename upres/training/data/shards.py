"""Shards: decoded crops of pictures in a few large memory-mapped files, with an index and hashes. Here they are read.

A folder of shards holds `shard_0000.bin` and so on, raw pixels `h w c` one crop after the other (uint8, or uint16
little-endian), aligned to 64 bytes, and `index.json`, which is written last (`shard_writer.py`) and makes the folder a
set of shards. Reading needs only numpy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.errors import DataError
from upres.system.files import sha256_of
from upres.training.data.images import Levels

INDEX: Final = "index.json"
FORMAT: Final = "upres shards"
VERSION: Final = 1


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

    crops, validation: pairs of a picture's name and its pixels `h w c`, mapped read-only.
    channels, depth: of all crops.
    fingerprint: SHA-256 over the hashes of the shards and the positions of the crops.
    """

    crops: list[tuple[str, Levels]]
    validation: list[tuple[str, Levels]]
    channels: int
    depth: int
    fingerprint: str


def is_shards(folder: Path) -> bool:
    """Whether `folder` holds a set of shards, judging by its index."""
    try:
        with (folder / INDEX).open("rb") as file:
            return f'"format": "{FORMAT}"'.encode() in file.read(4096)
    except OSError:
        return False


def open_shards(folder: Path, verify: bool = True) -> Shards:
    """Open the shards in `folder`, checking their sizes and, if `verify`, hashes.

    Raises `DataError` naming a damaged shard.
    """
    path = folder / INDEX
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}. Make the shards again with upres prepare") from error
    return map_shards(path, parse_index(data, path), lambda shard: folder / file_of(shard), verify)


def file_of(shard: Mapping[str, Any]) -> str:
    """The name of a shard's file, which lies in no other folder."""
    return Path(shard["file"]).name


def map_shards(
    where: Path | str, index: dict[str, Any], path_of: Callable[[Mapping[str, Any]], Path], verify: bool = True
) -> Shards:
    """The crops of an index that was read from `where`, each shard mapped from the file that `path_of` names."""
    try:
        return _map(where, index, path_of, verify)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"{where} does not match its shards ({error!r}): make them again with upres prepare") from error


def _map(
    where: Path | str, index: dict[str, Any], path_of: Callable[[Mapping[str, Any]], Path], verify: bool
) -> Shards:
    channels, depth = index["channels"], index["depth"]
    if channels not in (1, 3) or depth not in (8, 16):
        raise DataError(
            f"{where}: expected 1 or 3 channels of 8 or 16 bits, found {channels} of {depth}: make the shards again"
        )
    dtype = np.dtype(np.uint8 if depth == 8 else "<u2")
    maps: list[NDArray[Any]] = []
    for shard in index["shards"]:
        path = path_of(shard)
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
    return Shards(crops, validation, channels, depth, fingerprint_of(index))


def fingerprint_of(index: dict[str, Any]) -> str:
    """SHA-256 over what determines the pixels: the hashes of the shards and the position of each crop."""
    facts = [[shard["sha256"] for shard in index["shards"]]]
    facts += [index[name] for name in ("crops", "validation", "channels", "depth")]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _entries(rows: Sequence[Sequence[Any]]) -> list[Entry]:
    return [Entry(*row) for row in rows]


def parse_index(data: bytes, path: Path | str) -> dict[str, Any]:
    """The index of a set of shards, which was read from `path`. Raises `DataError` if it is damaged."""
    try:
        index = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path} cannot be read: {error}. Make the shards again with upres prepare") from error
    if not isinstance(index, dict) or cast("dict[str, Any]", index).get("format") != FORMAT:
        raise DataError(f"{path} is not an index of shards")
    table = cast("dict[str, Any]", index)
    if table.get("version") != VERSION:
        raise DataError(
            f"{path} has version {table.get('version')}, but this upres reads version {VERSION}: make the shards again"
        )
    body = {key: value for key, value in table.items() if key != "sha256"}
    if table.get("sha256") != digest_of(body):
        raise DataError(
            f"{path} is damaged: its content does not match its SHA-256. Make the shards again with upres prepare"
        )
    return table


def digest_of(body: dict[str, Any]) -> str:
    """The SHA-256 of an index without its own."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
