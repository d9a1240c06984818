"""Books in tar archives, plain or compressed by gzip, xz or bzip2. Every member but the pictures stays as it is."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from pathlib import Path
from typing import IO, Literal, cast

from upres.batch.books import BookPicture, Limits, format_of, suffix_of
from upres.errors import InputError
from upres.system.text import shown

_KINDS = {"tar": "", "gz": "gz", "tgz": "gz", "xz": "xz", "txz": "xz", "bz2": "bz2", "tbz2": "bz2"}


def _stream(kind: str, file: IO[bytes], mode: Literal["rb", "wb"]) -> IO[bytes]:
    """`file` through its compression: of gzip without a name and a date, so that the same pictures give the same
    bytes.
    """
    if kind == "gz":
        return cast("IO[bytes]", gzip.GzipFile("", mode, fileobj=file, mtime=0))
    if kind == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(file, mode))
    return cast("IO[bytes]", bz2.BZ2File(file, mode)) if kind == "bz2" else file


_MOST_PIECES = 100
_BROKEN = (tarfile.TarError, EOFError, ValueError, OSError, lzma.LZMAError, zlib.error)


class TarBook:
    """See `books.Book`."""

    def __init__(self, path: Path) -> None:
        self._path, self._limits = path, Limits(path)
        self.notes: list[str] = []
        self._members: list[tarfile.TarInfo] = []
        self.pictures: list[BookPicture] = []
        self._kind = _KINDS[suffix_of(path).lower().rpartition(".")[2]]
        with ExitStack() as stack:
            packed = stack.enter_context(self._open())
            with self._told("is not a tar archive that can be read"):
                file = stack.enter_context(_stream(self._kind, packed, "rb"))
                self._tar = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
            with self._told("is damaged"):
                self._read_members()
                if self._kind:
                    _read_to_end(file)
            self._opened = stack.pop_all()

    def _open(self) -> IO[bytes]:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read {self._path}: {error.strerror}") from error

    def _read_members(self) -> None:
        for number, member in enumerate(self._tar):
            self._limits.enter(member.name, member.size)
            if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
                raise InputError(f"{self._path}: {shown(member.name)!r} is a device or a pipe, expected files")
            if member.issparse():
                raise InputError(f"{self._path}: {shown(member.name)!r} is a file with holes, which is not read")
            self._members.append(member)
            format = format_of(member.name) if member.isreg() else None
            if format is not None:
                self.pictures.append(BookPicture(number, member.name, format))

    def extract(self, picture: BookPicture) -> Iterator[bytes]:
        member = self._members[picture.number]
        with self._told(f": {shown(member.name)!r} is damaged"):
            file = self._tar.extractfile(member)
            assert file is not None  # a regular file
            yield from self._limits.pieces(member.name, member.size, file.read)

    def write(self, target: Path, replaced: Mapping[int, Path]) -> None:
        with ExitStack() as stack:
            packed = stack.enter_context(target.open("xb"))
            file = stack.enter_context(_stream(self._kind, packed, "wb"))
            made = stack.enter_context(tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT))
            for number, member in enumerate(self._members):
                if number in replaced:
                    kept = copy(member)
                    kept.size = replaced[number].stat().st_size
                    kept.pax_headers = {name: text for name, text in member.pax_headers.items() if name != "size"}
                    with replaced[number].open("rb") as picture:
                        made.addfile(kept, picture)
                elif member.isreg():
                    made.addfile(member, cast("IO[bytes]", _Reader(self._tar.extractfile(member), self._told)))
                else:
                    made.addfile(member)

    def close(self) -> None:
        self._opened.close()

    @contextmanager
    def _told(self, words: str = "is damaged") -> Generator[None]:
        try:
            yield
        except InputError:
            raise
        except _BROKEN as error:
            words = words if words.startswith(":") else f" {words}"
            raise InputError(f"{self._path}{words} ({shown(error) or type(error).__name__})") from error


def _read_to_end(file: IO[bytes]) -> None:
    """The checksum of a compressed file is at its end, behind what tar fills up with zeros."""
    for _ in range(_MOST_PIECES):
        if not file.read(1 << 20):
            return
    raise ValueError(f"more than {_MOST_PIECES} MB follow its last member")


class _Reader:
    """A member that is copied: what is wrong with it is not taken for a failure to write."""

    def __init__(self, file: IO[bytes] | None, told: Callable[[], AbstractContextManager[None]]) -> None:
        assert file is not None  # a regular file
        self._file, self._told = file, told

    def read(self, size: int = -1) -> bytes:
        with self._told():
            return self._file.read(size)
