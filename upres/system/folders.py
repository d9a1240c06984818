"""The files in and below a folder: the one walk of every verb. Reads only names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER_INSIDE = "folder inside a folder"
_OWN_RESULT = re.compile(r"(?P<stem>.+)_(?:x\d+(?:\.\d+)?|\d+x\d+)")


def own_results(paths: Iterable[Path]) -> set[Path]:
    """Those that `upres upscale` wrote beside their pictures, by their names: NAME_x4.png or NAME_640x480.png beside
    NAME.* among `paths`.
    """
    paths = list(paths)
    known = {(path.parent, _stem(path)) for path in paths}
    matches = ((path, _OWN_RESULT.fullmatch(_stem(path))) for path in paths)
    return {path for path, match in matches if match is not None and (path.parent, match["stem"]) in known}


def has_no_ending(name: str) -> bool:
    """Whether a file's name has no ending, as those of DICOM often do, or a number in place of one."""
    ending = Path(name).suffix[1:]
    return not ending or ending.isdecimal()


def reason_for(name: str, kind: str, told: Mapping[str, str]) -> str:
    """Why a file of another ending than those of `kind` is skipped. told: Reasons by ending; "" is not counted."""
    low = name.lower()
    return next((told[ending] for ending in told if low.endswith(ending)), f"file that is not a {kind}")


def _stem(path: Path) -> str:
    """The name without its ending, of which ".nii.gz" is one."""
    return path.stem.removesuffix(".nii") if path.suffix == ".gz" else path.stem


@dataclass(slots=True)
class FoundFiles:
    """The files by name, those of a folder before its subfolders, and the number skipped for each reason."""

    files: list[Path] = field(default_factory=list[Path])
    passed_over: Counter[str] = field(default_factory=Counter[str])

    @property
    def words(self) -> str:
        """ "1 x hidden file, 2 x link to a folder"; "nothing"."""
        return ", ".join(f"{count} x {reason}" for reason, count in sorted(self.passed_over.items())) or "nothing"


def find_files(
    top: Path,
    suffixes: Iterable[str],
    *,
    kind: str = "picture",
    recursive: bool = True,
    keep_out: Path | None = None,
    by_content: Callable[[Path], bool] | None = None,
    told: Mapping[str, str] | None = None,
) -> FoundFiles:
    """The files below `top` whose names end in one of `suffixes`.

    suffixes: endings in lower case (".png"); those of the files may be in upper case. kind: what such a file is, for
    the reasons. recursive: go into the folders inside; otherwise they are counted. keep_out: a folder to skip without
    counting it. by_content: whether a file whose name has no ending is wanted. told: see `reason_for`. Skipped and
    counted: hidden files, other endings, broken links and whatever else is not a file, links to folders (they could
    lead in circles), unreadable folders. Hidden folders are skipped without a count.
    """
    found, endings = FoundFiles(), frozenset(suffixes)
    shut = None if keep_out is None else os.path.realpath(keep_out)

    def unreadable(_: OSError) -> None:
        found.passed_over["folder that cannot be read"] += 1

    for here, folders, names in os.walk(top, onerror=unreadable):
        folder, inside = Path(here), list[str]()
        for name in sorted(folders):
            if name.startswith(".") or (shut is not None and os.path.realpath(folder / name) == shut):
                continue
            if not recursive:
                found.passed_over[FOLDER_INSIDE] += 1
            elif (folder / name).is_symlink():
                found.passed_over["link to a folder"] += 1
            else:
                inside.append(name)
        folders[:] = inside
        for name in sorted(names):
            path = folder / name
            if name.startswith("."):
                found.passed_over["hidden file"] += 1
            elif not name.lower().endswith(tuple(endings)) and not (
                by_content is not None and has_no_ending(name) and by_content(path)
            ):
                reason = reason_for(name, kind, told or {})
                found.passed_over[reason] += bool(reason)
            elif not path.is_file():
                found.passed_over["link that leads nowhere" if path.is_symlink() else f"{kind} that is not a file"] += 1
            else:
                found.files.append(path)
    found.passed_over = +found.passed_over
    return found


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder; False where that cannot be told: below a folder that may not be entered, where
    `Path.is_dir` raises, and for names that are too long.
    """
    return _ask(Path(path).is_dir)


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file, as `is_folder`."""
    return _ask(Path(path).is_file)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether a path exists, as `is_folder`."""
    return _ask(Path(path).exists)


def _ask(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False
