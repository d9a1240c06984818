"""Upscale the pictures of an archive or a book: taken out, upscaled as a collection, put back in their places.

Pictures lie in a hidden folder beside the result until it is written, under numbers: no name of a stranger's archive
ever becomes a path. A run that was ended goes on there, picture by picture.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from upres.batch.books import Book, BookPicture, suffix_of
from upres.batch.collection import Collection
from upres.batch.find_books import FoundBook
from upres.batch.job import Encoding, Outcome, Summary
from upres.batch.open_book import open_book
from upres.batch.paths import Destination, make_folder
from upres.batch.request import CollectionOptions, Request
from upres.errors import InputError, OutputError, UpresError, UsageError
from upres.images.isolation import isolated_where_possible
from upres.system.files import commit_partial, output_error, partial_path, sha256_of, sweep_partials, write_atomic
from upres.system.folders import exists
from upres.system.lock import only_user
from upres.upscaling.choose_model import DEFAULT_FACTOR
from upres.upscaling.output_size import OutputSize

_ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
_SOURCE = "source"  # in the work folder: the hash of the book that it belongs to


def target_of(book: FoundBook, request: Request, scale: int | None) -> Path:
    """Where the result of a book goes. Raises `UsageError` if `out` does not fit.

    scale: Of the model; None: one is chosen for each picture.
    """
    path, ending = book.path, suffix_of(book.path)
    if request.format is not None:
        raise UsageError(f"pictures in {path} keep their names, and so their formats; leave `format` out")
    if request.out is None:
        size = request.size
        native = f"_x{scale or round(DEFAULT_FACTOR)}"
        suffix = native if size == OutputSize() else "_upscaled" if size.factor is None else f"_x{size.factor:g}"
        return path.with_name(f"{path.name.removesuffix(ending)}{suffix}{ending}")
    out = Path(request.out)
    if book.folder is not None:
        return out / book.folder / path.name
    if request.out.endswith(("/", os.sep)) or out.is_dir() or not out.suffix:
        return out / path.name
    if suffix_of(out).lower() != ending.lower():
        raise UsageError(f"`out={out}`: the result of {path} is a {ending} too; name a folder or such a file")
    return out


def run_book(
    book: Path,
    target: Path,
    request: Request,
    encoding: Encoding,
    options: CollectionOptions,
    run: Callable[[Collection], Summary],
) -> tuple[Summary, list[str]]:
    """Upscale the pictures of `book` and write `target`. Returns what came of it, and notes for the user.

    request, encoding, options: For its pictures; `out` and `format` are set here.
    run: Runs one collection, of all pictures of one format.

    Pictures are decoded in child processes (`images.isolation`), except on Windows. One that fails stays as it was, and
    is among the failures. Raises as `open_book` and `Collection`, and
    `OutputError`.
    """
    if os.path.realpath(book) == os.path.realpath(target):
        raise UsageError(f"the result of {book} would overwrite it; choose another `out`")
    make_folder(target.parent)
    work = target.with_name(f".upres-book-{target.name}")
    with only_user(work, f"another process works on {target}; wait for it"):
        try:
            with isolated_where_possible():
                summary, notes = _in_folder(book, target, work, request, encoding, options, run)
        except UpresError:
            if not any(work.glob("out-*")):  # nothing is lost
                shutil.rmtree(work, ignore_errors=True)
            raise
        if exists(target) and not (summary.interrupted or summary.left):
            shutil.rmtree(work, ignore_errors=True)
    return summary, notes


def _in_folder(
    book: Path,
    target: Path,
    work: Path,
    request: Request,
    encoding: Encoding,
    options: CollectionOptions,
    run: Callable[[Collection], Summary],
) -> tuple[Summary, list[str]]:
    _begin(book, work)
    opened = open_book(book)
    try:
        if not opened.pictures:
            raise InputError(f"{book} contains no pictures that can be replaced{_words(opened.notes)}")
        total, replaced = Summary(), dict[int, Path]()
        for format, paths in _take_out(opened, book, work).items():
            made = work / f"out-{format}"
            inner = replace(
                request, inputs=(str(work / format),), out=str(made), format=format, recursive=False, overwrite=False
            )
            place = Destination(format, folder=made)
            collection = Collection(inner, encoding, place, _no_stdin, options)
            try:
                summary = run(collection)
            finally:
                collection.close()
            _add(total, summary, paths)
            if summary.interrupted or summary.left:
                return total, opened.notes
            ending = place.ending
            found = ((one.number, made / f"{path.stem}{ending}") for path, one in paths.items())
            replaced |= {number: path for number, path in found if path.is_file()}
        _write(opened, target, replaced)
        return total, opened.notes
    finally:
        opened.close()


def _begin(book: Path, work: Path) -> None:
    """Begin anew if the folder has pictures of another book."""
    try:
        digest = sha256_of(book)
    except OSError as error:
        raise InputError(f"cannot read {book}: {error.strerror}") from error
    note = work / _SOURCE
    if not note.is_file() or note.read_text(encoding="utf-8") != digest:
        for path in work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        write_atomic(note, digest.encode())


def _take_out(opened: Book, book: Path, work: Path) -> dict[str, dict[Path, BookPicture]]:
    """Its pictures as files, by format. What was taken out before is not again."""
    taken: defaultdict[str, dict[Path, BookPicture]] = defaultdict(dict)
    try:
        for picture in opened.pictures:
            folder = work / picture.format
            folder.mkdir(exist_ok=True)
            words = re.sub(r"[^A-Za-z0-9]+", "-", PurePosixPath(picture.name).stem)[:40].strip("-")
            path = folder / f"{picture.number:06}-{words}{_ENDINGS[picture.format]}"
            taken[picture.format][path] = picture
            if path.exists():
                continue
            partial = partial_path(path)
            with partial.open("xb") as file:
                try:
                    for piece in opened.extract(picture):
                        file.write(piece)
                except InputError:  # it fails as a picture, by its name, and stays in the book as it is
                    file.truncate(0)
            partial.replace(path)
    except OSError as error:
        raise output_error(work, error) from error
    return taken


def _write(opened: Book, target: Path, replaced: dict[int, Path]) -> None:
    sweep_partials(target.parent)
    partial = partial_path(target)
    try:
        opened.write(partial, replaced)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        commit_partial(partial, target)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        partial.unlink(missing_ok=True)


def _add(total: Summary, summary: Summary, paths: dict[Path, BookPicture]) -> None:
    """Count the pictures of one format, by their names in the book."""

    def named(outcome: Outcome) -> Outcome:
        picture = paths.get(Path(outcome.name))
        if picture is None:
            return outcome
        error = outcome.error
        if isinstance(error, InputError):
            error = InputError(str(error).replace(outcome.name, picture.name))
        return replace(outcome, name=picture.name, error=error)

    total.include(summary, [named(outcome) for outcome in summary.failures])


def _words(notes: list[str]) -> str:
    return f" ({'; '.join(notes)})" if notes else ""


def _no_stdin() -> bytes:
    raise OutputError("a book has no standard input")
