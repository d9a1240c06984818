"""The files below a folder as a stream, for folders of a million files: names are never held all at once."""

# ruff: noqa: PTH118  # strings: a million `Path` objects take seconds

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from upres.system.folders import FOLDER_INSIDE, has_no_ending, reason_for

OWN = ".upres-"  # begins the names of journals and locks


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """A file, without opening it.

    path: As it is reached from the folder that was named.
    folder: Its folder relative to that one; "" is that folder itself.
    real: Its path without links.
    size: In bytes.
    mtime_ns: When it was changed last.
    """

    path: str
    folder: str
    real: str
    size: int
    mtime_ns: int


def stream_files(
    top: str,
    suffixes: frozenset[str],
    passed_over: Counter[str],
    *,
    recursive: bool,
    keep_out: str | None = None,
    kind: str = "picture",
    by_content: Callable[[Path], bool] | None = None,
    told: Mapping[str, str] | None = None,
) -> Iterator[StreamedFile]:
    """The files below `top` whose names end in one of `suffixes`, in no order.

    passed_over: Counts what is skipped, by reason, as `folders.find_files` does.
    keep_out: A folder to skip without counting it.
    by_content: Whether a file whose name has no ending is wanted.
    told: Reasons by ending, see `folders.reason_for`.

    Files that are added or removed meanwhile may be among them or not; nothing is raised for them.
    """
    endings = tuple(suffixes)
    shut = None if keep_out is None else os.path.realpath(keep_out)
    waiting = [(top, "")]
    while waiting:
        here, folder = waiting.pop()
        real = os.path.realpath(here)
        try:
            entries = os.scandir(here)
        except OSError:
            passed_over["folder that cannot be read"] += 1
            continue
        with entries:
            for entry in _read_on(entries, passed_over):
                if entry.name.startswith(OWN):
                    continue
                if entry.name.startswith("."):
                    passed_over["hidden file"] += not _is_folder(entry)
                elif _is_folder(entry):
                    if shut is not None and os.path.realpath(entry.path) == shut:
                        continue
                    if not recursive:
                        passed_over[FOLDER_INSIDE] += 1
                    elif entry.is_symlink():
                        passed_over["link to a folder"] += 1
                    else:
                        waiting.append((entry.path, os.path.join(folder, entry.name)))
                elif not _wanted(entry, endings, by_content):
                    reason = reason_for(entry.name, kind, told or {})
                    if reason:
                        passed_over[reason] += 1
                else:
                    found = _file(entry, folder, real, passed_over, kind)
                    if found is not None:
                        yield found


def _wanted(entry: os.DirEntry[str], endings: tuple[str, ...], by_content: Callable[[Path], bool] | None) -> bool:
    if entry.name.lower().endswith(endings):
        return True
    return by_content is not None and has_no_ending(entry.name) and by_content(Path(entry.path))


def _read_on(entries: Iterator[os.DirEntry[str]], passed_over: Counter[str]) -> Iterator[os.DirEntry[str]]:
    """The entries; a folder that fails in the middle ends there, and is counted."""
    try:
        yield from entries
    except OSError:
        passed_over["folder that cannot be read to its end"] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(entry: os.DirEntry[str], folder: str, real: str, passed_over: Counter[str], kind: str) -> StreamedFile | None:
    try:
        if not entry.is_file():
            reason = "link that leads nowhere" if entry.is_symlink() else f"{kind} that is not a file"
            passed_over[reason] += 1
            return None
        state = entry.stat()
        place = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real, entry.name)
    except OSError:  # it vanished, or its disk fails
        passed_over[f"{kind} that vanished"] += 1
        return None
    return StreamedFile(entry.path, folder, place, state.st_size, state.st_mtime_ns)


def folds_names(folder: Path) -> bool:
    """Whether names that differ in case only are one file in `folder`, which must be writable. Raises OSError."""
    probe = folder / f".upres-Case-{os.getpid()}"
    try:
        probe.touch()
        return (folder / probe.name.swapcase()).exists()
    finally:
        probe.unlink(missing_ok=True)
