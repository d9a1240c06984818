"""Archives and books as one input: what kinds there are, what they may hold, and the interface of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from upres.errors import InputError, UsageError
from upres.images.io import CORE_SUFFIXES
from upres.system.text import shown, words_for_bytes

SUFFIXES = (".zip", ".cbz", ".epub", ".tar", ".pdf")
# By their last suffix, with what to do.
REFUSED = {
    ".cbr": "RAR archives are not read; unpack it and make a .cbz of it",
    ".rar": "RAR archives are not read; unpack it",
    ".7z": "7z archives are not read; unpack it, or make a .zip of it",
    ".cb7": "7z archives are not read; unpack it and make a .cbz of it",
    ".tgz": "compressed tar archives are not read; unpack it, or make a .tar of it",
    ".gz": "compressed files are not read; unpack it",
    ".xz": "compressed files are not read; unpack it",
    ".bz2": "compressed files are not read; unpack it",
    ".mobi": "Kindle books are not read; make an .epub of it",
    ".azw3": "Kindle books are not read; make an .epub of it",
}
MOST_ENTRIES = 100_000
MOST_ENTRY_BYTES = 1 << 30
MOST_BYTES = 64 << 30
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class BookPicture:
    """A picture in a book that can be replaced.

    number: Its place, by which `Book.write` takes its replacement.
    name: In the book, for messages.
    format: "png", "jpeg", ...: also of the replacement.
    """

    number: int
    name: str
    format: str


class Book(Protocol):
    """An archive or a book, opened and checked."""

    @property
    def pictures(self) -> list[BookPicture]:
        """Its pictures."""
        ...

    @property
    def notes(self) -> list[str]:
        """What is left as it is, and why."""
        ...

    def extract(self, picture: BookPicture) -> Iterator[bytes]:
        """The bytes of a picture, in pieces. Raises `InputError` for a damaged entry."""
        ...

    def write(self, target: Path, replaced: Mapping[int, Path]) -> None:
        """Write the book with these pictures replaced, all else as it was. Raises `InputError`, OSError."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def is_book(path: str) -> bool:
    """Whether a path is named as an archive or a book. Raises `UsageError` for kinds that are not read, by name."""
    suffix = Path(path).suffix.lower()
    if path.lower().endswith(".nii.gz"):  # a volume of measured data, which is read
        return False
    if suffix in REFUSED:
        raise UsageError(f"{shown(path)}: {REFUSED[suffix]}")
    return suffix in SUFFIXES


def format_of(name: str) -> str | None:
    """The format of an entry by its suffix, if upres can write it; None for all others."""
    return CORE_SUFFIXES.get(PurePosixPath(name).suffix.lower())


class Limits:
    """Counts the entries of a book and their bytes. Its methods raise `InputError` above a limit."""

    def __init__(self, path: Path) -> None:
        self._path, self._entries, self._bytes = path, 0, 0

    def enter(self, name: str, size: int) -> None:
        """Count an entry of `size` bytes, by what the book says, and check its name."""
        self._entries += 1
        self._bytes += size
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or name.startswith(("/", "\\")) or (parts and parts[0].endswith(":")):
            raise InputError(f"{self._path}: the entry {shown(name)!r} leads out of it, which is an attack; not read")
        if self._entries > MOST_ENTRIES:
            raise InputError(f"{self._path} has more than {MOST_ENTRIES:,} entries; unpack it and name the folder")
        if size > MOST_ENTRY_BYTES:
            limit = words_for_bytes(MOST_ENTRY_BYTES)
            raise InputError(f"{self._path}: the entry {shown(name)!r} has {words_for_bytes(size)}, more than {limit}")
        if self._bytes > MOST_BYTES:
            raise InputError(f"{self._path} unpacks to more than {words_for_bytes(MOST_BYTES)}; it may be a bomb")

    def pieces(self, name: str, size: int, read: ReadSome) -> Iterator[bytes]:
        """What `read` gives for an entry, which must be `size` bytes."""
        left = size
        while piece := read(min(_CHUNK, left + 1)):
            left -= len(piece)
            if left < 0:
                raise InputError(f"{self._path}: the entry {shown(name)!r} is larger than it says; it may be a bomb")
            yield piece
        if left:
            raise InputError(f"{self._path}: the entry {shown(name)!r} ends too early; the file is damaged")


class ReadSome(Protocol):
    """A `read` method."""

    def __call__(self, size: int, /) -> bytes: ...
