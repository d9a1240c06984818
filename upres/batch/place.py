"""Where the results of a collection are: a folder, or what is below a URL."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

from upres.batch import record
from upres.system.files import sha256_of
from upres.system.folders import exists, is_folder
from upres.system.storage import Storage


class Place(Protocol):
    """Results by their names, relative to the place."""

    def has(self, target: str) -> bool:
        """Whether a file is there."""
        ...

    def sha256(self, target: str) -> str:
        """Of the file. Raises OSError, `OutputError`."""
        ...

    def record(self, target: str) -> dict[str, str] | None:
        """Of the file; None if it has none."""
        ...

    def path(self, target: str) -> Path:
        """For messages, and for what writes files."""
        ...


class FolderPlace:
    """A folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, target: str) -> bool:
        path = self._folder / target
        return exists(path) and not is_folder(path)

    def sha256(self, target: str) -> str:
        return sha256_of(self._folder / target)

    def record(self, target: str) -> dict[str, str] | None:
        return record.read_record(self._folder / target)

    def path(self, target: str) -> Path:
        return self._folder / target


class UrlPlace:
    """What is below a URL. Files are read whole."""

    def __init__(self, url: str) -> None:
        self._storage = Storage(url)

    def has(self, target: str) -> bool:
        return self._storage.exists(target)

    def sha256(self, target: str) -> str:
        return hashlib.sha256(self._storage.get(target)).hexdigest()

    def record(self, target: str) -> dict[str, str] | None:
        return record.read_record(self._storage.get(target))

    def path(self, target: str) -> Path:
        return Path(target)
