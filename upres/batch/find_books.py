"""Find the archives and books of a request: those that it names, and those in its folders if it asks for them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from upres.batch.books import SUFFIXES, is_book
from upres.batch.plan import PICTURE_SUFFIXES
from upres.batch.request import Request
from upres.errors import UsageError
from upres.science.open import has_picture
from upres.system.folders import find_files, is_folder, own_results
from upres.system.storage import is_url, without_query
from upres.system.walk import stream_files


@dataclass(frozen=True, slots=True)
class FoundBook:
    """An archive or a book. folder: Its folder relative to the input folder; None if it was named itself."""

    path: Path
    folder: Path | None = None


def find_books(request: Request) -> tuple[list[FoundBook], tuple[str, ...]]:
    """(archives and books, the inputs that may have pictures beside them). Raises `UsageError` for what is not read."""
    books, rest = list[FoundBook](), list[str]()
    for text in dict.fromkeys(request.inputs):
        if is_url(text):
            if is_book(without_query(text)):
                raise UsageError(f"{text}: archives and books at URLs are not read; download it first")
            rest.append(text)
        elif is_folder(text):
            inside = _in_folder(Path(text), request) if request.books else []
            books += inside
            if not inside or _has_pictures(text, request):
                rest.append(text)
        elif is_book(text):
            books.append(FoundBook(Path(text)))
        else:
            rest.append(text)
    return books, tuple(rest)


def _in_folder(top: Path, request: Request) -> list[FoundBook]:
    out = None if request.out is None else Path(request.out)
    found = find_files(top, SUFFIXES, kind="book", recursive=request.recursive, keep_out=out).files
    made = own_results(found) if out is None else set[Path]()
    return [FoundBook(path, path.parent.relative_to(top)) for path in found if path not in made]


def _has_pictures(top: str, request: Request) -> bool:
    found = stream_files(
        top,
        PICTURE_SUFFIXES,
        Counter(),
        recursive=request.recursive,
        keep_out=request.out,
        by_content=has_picture,
    )
    return next(found, None) is not None
