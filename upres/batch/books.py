"""Archives and books as one input: what kinds there are, what they may hold, and the interface of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from upres.errors import InputError, UsageError
from upres.images.io import CORE_SUFFIXES
from upres.system.text import shown, words_for_bytes

TARS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
SUFFIXES = (".zip", ".cbz", ".epub", ".pdf", *TARS)
# By the end of their names, with what to do.
REFUSED = {
    ".cbr": "RAR archives are not read; unpack it and make a .cbz of it",
    ".rar": "RAR archives are not read; unpack it",
    ".7z": "7z archives are not read; unpack it, or make a .zip of it",
    ".cb7": "7z archives are not read; unpack it and make a .cbz of it",
    ".tar.zst": "Python's own library has no Zstandard before 3.14; unpack it, or make a .tar.xz of it",
    ".tar.lz4": "LZ4 is not read; unpack it, or make a .tar.gz of it",
    ".mobi": "Kindle books are not read; make an .epub of it",
    ".azw3": "Kindle books are not read; make an .epub of it",
}
_COMPRESSED = "compressed files that are no tar archives are not read; unpack it"
_REFUSED_FILES = REFUSED | dict.fromkeys((".gz", ".xz", ".bz2", ".zst", ".lz4"), _COMPRESSED)
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


def suffix_of(path: Path) -> str:
    """The end of its name that says what kind of book it is, as it is written there: ".CBZ", ".tar.gz"; "" if none."""
    name = path.name.lower()
    length = max((len(suffix) for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), default=0)
    return path.name[len(name) - length :]


def is_book(path: str) -> bool:
    """Whether a path is named as an archive or a book. Raises `UsageError` for kinds that are not read, by name."""
    if suffix_of(Path(path)):
        return True
    if path.lower().endswith(".nii.gz"):  # a volume of measured data, which is read
        return False
    for suffix, reason in _REFUSED_FILES.items():
        if path.lower().endswith(suffix):
            raise UsageError(f"{shown(path)}: {reason}")
    return False


def reasons_in_folders(taken: bool) -> dict[str, str]:
    """What is said of archives and books in a folder whose pictures are searched, by the end of their names.

    taken: They are inputs too, so of those that can be read nothing is said ("").
    """
    readable = "" if taken else "archive or book (`books=True` includes them)"
    refused = {suffix: f"archive or book that is not read ({reason})" for suffix, reason in REFUSED.items()}
    return dict.fromkeys(SUFFIXES, readable) | refused


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
