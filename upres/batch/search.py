"""Search the inputs of a collection: each picture with the place of its result, as a stream."""

from __future__ import annotations

import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from upres.batch.books import reasons_in_folders
from upres.batch.journal_rows import Seen
from upres.batch.measured import name_of
from upres.batch.paths import STDIO, Destination
from upres.batch.plan import PICTURE_SUFFIXES
from upres.batch.request import Request
from upres.errors import UsageError
from upres.science.open import has_picture
from upres.system.folders import FOLDER_INSIDE, is_folder
from upres.system.storage import Storage, is_url, without_query
from upres.system.walk import StreamedFile, stream_files

MISSING = -1  # in place of a size


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of a collection, for several machines: each picture belongs to one, by its result's name."""

    index: int  # from 1
    count: int

    def has(self, target: str) -> bool:
        """Whether the picture with the result `target`, relative to the output folder, belongs to it."""
        return zlib.crc32(os.fsencode(target)) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}of{self.count}"


def parse_shard(text: str) -> Shard:
    """ "3/10". Raises `UsageError`."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    shard = None if match is None else Shard(int(match[1]), int(match[2]))
    if shard is None or not 1 <= shard.index <= shard.count:
        raise UsageError(f"`shard` must be a part of a whole such as 3/10, from 1/10 to 10/10; got {text!r}")
    return shard


def search(
    request: Request, destination: Destination, left_out: Counter[str], *, folds: bool, shard: Shard | None
) -> Iterator[Seen]:
    """The pictures that `request` names, in no order within a folder.

    left_out: Counts what is skipped, by reason.
    folds: The output folder does not tell names apart by case and Unicode form.
    """
    assert destination.folder is not None
    top = os.path.realpath(destination.folder)
    for rank, text in enumerate(dict.fromkeys(request.inputs)):
        for found in _of_input(text, request, str(destination.folder), left_out):
            name = _name(found.path, request, destination)
            target = os.path.join(found.folder, name)  # noqa: PTH118
            if shard is not None and not shard.has(target):
                continue
            path = os.path.join(top, target)  # noqa: PTH118
            wants = folded(path) if folds else path
            yield Seen(rank, found.path, found.real, found.folder, target, wants, found.size, found.mtime_ns)
    if FOLDER_INSIDE in left_out:
        left_out[f"{FOLDER_INSIDE} (`recursive=True` includes them)"] += left_out.pop(FOLDER_INSIDE)


def _name(path: str, request: Request, destination: Destination) -> str:
    """The name of the result. What lies at a URL is a picture."""
    if is_url(path):
        return PurePath(without_query(path)).stem + destination.ending
    return name_of(Path("stdin" if path == STDIO else path), request, destination)


def _of_input(text: str, request: Request, folder: str, left_out: Counter[str]) -> Iterator[StreamedFile]:
    if is_url(text):
        told = reasons_in_folders(taken=False)
        yield from Storage(text).stream(PICTURE_SUFFIXES, left_out, recursive=request.recursive, told=told)
    elif text == STDIO:
        yield StreamedFile(STDIO, "", STDIO, MISSING, MISSING)
    elif is_folder(text):
        yield from stream_files(
            text,
            PICTURE_SUFFIXES,
            left_out,
            recursive=request.recursive,
            keep_out=folder,
            by_content=has_picture,
            told=reasons_in_folders(request.books),
        )
    else:
        try:
            state = Path(text).stat()
            size, mtime_ns = state.st_size, state.st_mtime_ns
        except (OSError, ValueError):  # it fails later, as any picture that cannot be read
            size = mtime_ns = MISSING
        yield StreamedFile(str(Path(text)), "", os.path.realpath(text), size, mtime_ns)


def folded(name: str) -> str:
    """A name as a file system knows it that does not tell names apart by case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()
