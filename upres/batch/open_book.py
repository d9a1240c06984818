"""Open an archive or a book of any kind."""

from __future__ import annotations

from pathlib import Path

from upres.batch.book_pdf import PdfBook
from upres.batch.book_tar import TarBook
from upres.batch.book_zip import ZipBook
from upres.batch.books import TARS, Book, suffix_of


def open_book(path: Path) -> Book:
    """Open an archive or a book by its suffix.

    Raises `InputError` if it is damaged, encrypted, too large, or has a name that leads out of it; `EngineError` if a
    package is missing.
    """
    suffix = suffix_of(path).lower()
    if suffix in TARS:
        return TarBook(path)
    if suffix == ".pdf":
        return PdfBook(path)
    return ZipBook(path)
