"""Books in tar archives, without compression. Every member but the pictures stays as it is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path

from upres.batch.books import BookPicture, Limits, format_of
from upres.errors import InputError
from upres.system.text import shown


class TarBook:
    """See `books.Book`."""

    def __init__(self, path: Path) -> None:
        self._path, self._limits = path, Limits(path)
        self.notes: list[str] = []
        try:
            self._tar = tarfile.open(path, "r:")  # noqa: SIM115  # `close` does
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise InputError(f"{path} is not a tar archive that can be read ({shown(error)})") from error
        self._members: list[tarfile.TarInfo] = []
        self.pictures: list[BookPicture] = []
        try:
            self._read_members()
        except BaseException:
            self._tar.close()
            raise

    def _read_members(self) -> None:
        try:
            for number, member in enumerate(self._tar):
                self._limits.enter(member.name, member.size)
                if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
                    raise InputError(f"{self._path}: {shown(member.name)!r} is a device or a pipe, expected files")
                self._members.append(member)
                format = format_of(member.name) if member.isreg() else None
                if format is not None:
                    self.pictures.append(BookPicture(number, member.name, format))
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise InputError(f"{self._path} is damaged ({shown(error)})") from error

    def extract(self, picture: BookPicture) -> Iterator[bytes]:
        member = self._members[picture.number]
        file = self._tar.extractfile(member)
        assert file is not None  # a regular file
        try:
            yield from self._limits.pieces(member.name, member.size, file.read)
        except (tarfile.TarError, EOFError) as error:
            raise InputError(f"{self._path}: {shown(member.name)!r} is damaged ({shown(error)})") from error

    def write(self, target: Path, replaced: Mapping[int, Path]) -> None:
        with tarfile.open(target, "x:", format=tarfile.PAX_FORMAT) as made:
            for number, member in enumerate(self._members):
                if number in replaced:
                    kept = copy(member)
                    kept.size = replaced[number].stat().st_size
                    kept.pax_headers = {name: text for name, text in member.pax_headers.items() if name != "size"}
                    with replaced[number].open("rb") as file:
                        made.addfile(kept, file)
                elif member.isreg():
                    file = self._tar.extractfile(member)
                    made.addfile(member, file if file is not None else io.BytesIO())
                else:
                    made.addfile(member)

    def close(self) -> None:
        self._tar.close()
