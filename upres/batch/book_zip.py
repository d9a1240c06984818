"""Books in zip archives: .zip, .cbz, .epub. Entries but the pictures keep bytes, places and attributes."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path

from upres.batch.books import BookPicture, Limits, format_of
from upres.errors import InputError
from upres.system.text import shown

_ENCRYPTED = 0x1
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


class ZipBook:
    """See `books.Book`."""

    def __init__(self, path: Path) -> None:
        self._path, self._limits = path, Limits(path)
        self.notes: list[str] = []
        with self._told():
            self._zip = zipfile.ZipFile(path)
        try:
            self._entries = self._zip.infolist()
            for entry in self._entries:
                self._limits.enter(entry.filename, entry.file_size)
                if entry.flag_bits & _ENCRYPTED:
                    raise InputError(f"{path} is encrypted; unpack it with its password, and name the folder")
        except BaseException:
            self._zip.close()
            raise
        found = ((number, entry.filename, format_of(entry.filename)) for number, entry in enumerate(self._entries))
        self.pictures = [BookPicture(number, name, format) for number, name, format in found if format is not None]

    def extract(self, picture: BookPicture) -> Iterator[bytes]:
        entry = self._entries[picture.number]
        with self._told(), self._zip.open(entry) as file:
            yield from self._limits.pieces(entry.filename, entry.file_size, file.read)

    def write(self, target: Path, replaced: Mapping[int, Path]) -> None:
        with self._told(), zipfile.ZipFile(target, "w") as made:
            made.comment = self._zip.comment
            for number, entry in enumerate(self._entries):
                kept = copy(entry)  # the name, the date, the attributes and the kind of compression
                kept.extra = b""  # sizes of zip64 and the like, which are written anew
                if entry.is_dir():
                    made.writestr(kept, b"")
                    continue
                with made.open(kept, "w", force_zip64=entry.file_size > zipfile.ZIP64_LIMIT // 4) as file:
                    if number in replaced:
                        file.write(replaced[number].read_bytes())
                    else:
                        for piece in self.extract(BookPicture(number, entry.filename, "")):
                            file.write(piece)

    def close(self) -> None:
        self._zip.close()

    @contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except InputError:
            raise
        except (*_BROKEN, OSError) as error:
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of a place before the beginning
                raise
            reason = shown(error) or type(error).__name__
            raise InputError(f"{self._path} is not an archive that can be read ({reason})") from error
