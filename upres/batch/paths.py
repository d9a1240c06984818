"""From what was typed to a list of jobs: which files are pictures, where each result goes, and what is left alone and why.

Nothing is read here but names; `run.py` opens the pictures.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upres.errors import InputError, OutputError, UsageError
from upres.system.folders import FOLDER_INSIDE, find_files

STDIO = "-"
_OWN_RESULT = re.compile(r"(?P<stem>.+)_(?:x\d+(?:\.\d+)?|\d+x\d+)")


@dataclass(frozen=True, slots=True)
class InputFile:
    """One picture to upscale. `folder` is the part below the folder that was named, kept under the output folder; `path` None is stdin."""

    path: Path | None
    folder: Path = Path()

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


@dataclass(slots=True)
class InputFiles:
    """The pictures in the order they were named, and counts of what was passed over, by reason."""

    pictures: list[InputFile] = field(default_factory=list[InputFile])
    left_out: Counter[str] = field(default_factory=Counter[str])


def find_pictures(inputs: Sequence[str], *, recursive: bool, suffixes: Iterable[str], keep_out: Path | None, beside: bool) -> InputFiles:
    """Walk what was named. A folder gives the pictures in it, with `recursive` those below it too; a file is taken as it is.

    `suffixes` are lower-case file endings of pictures (".png", ...). `keep_out` is the output folder, which is never walked. `beside`: the
    results will lie beside the inputs, so earlier results found among them (`NAME_x4.png` where `NAME.*` is there as well) are left out.
    Missing files are kept: they fail later, by name, as any unreadable picture does.
    """
    endings = frozenset(suffixes)
    findings = InputFiles()
    for text in dict.fromkeys(inputs):
        path = Path(text)
        if text == STDIO:
            findings.pictures.append(InputFile(None))
        elif path.is_dir():
            _walk(path, recursive, endings, keep_out, findings)
        else:
            findings.pictures.append(InputFile(path))
    unique: dict[str, InputFile] = {}
    for found in findings.pictures:
        unique.setdefault(STDIO if found.path is None else os.path.realpath(found.path), found)
    findings.pictures = list(unique.values())
    if beside:
        _leave_out_own_results(findings)
    return findings


def _walk(top: Path, recursive: bool, endings: frozenset[str], keep_out: Path | None, findings: InputFiles) -> None:
    found = find_files(top, endings, recursive=recursive, keep_out=keep_out)
    findings.pictures += [InputFile(path, path.parent.relative_to(top)) for path in found.files]
    for reason, count in found.passed_over.items():
        findings.left_out[reason + (" (`recursive=True` goes into them)" if reason == FOLDER_INSIDE else "")] += count


def _leave_out_own_results(findings: InputFiles) -> None:
    known = {(found.path.parent, found.path.stem) for found in findings.pictures if found.path is not None}
    kept: list[InputFile] = []
    for found in findings.pictures:
        match = None if found.path is None else _OWN_RESULT.fullmatch(found.path.stem)
        if found.path is not None and match is not None and (found.path.parent, match["stem"]) in known:
            findings.left_out["earlier result beside its picture (name it alone to upscale it again)"] += 1
        else:
            kept.append(found)
    findings.pictures = kept


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go: a file, a folder, stdout, or (all None) beside each input. `format` is a name such as "png"."""

    format: str
    file: Path | None = None
    folder: Path | None = None
    stdout: bool = False

    @property
    def beside(self) -> bool:
        return self.file is None and self.folder is None and not self.stdout

    def target(self, found: InputFile, suffix: str, ending: str) -> Path | None:
        """The file for one input; None is stdout. `suffix` ("_x4") marks a result beside its input, `ending` (".png") its format."""
        if self.stdout:
            return None
        if self.file is not None:
            return self.file
        source = Path("stdin") if found.path is None else found.path
        if self.folder is not None:
            return self.folder / found.folder / f"{source.stem}{ending}"
        return source.with_name(f"{source.stem}{suffix}{ending}")


def choose_destination(inputs: Sequence[str], out: str | None, format_name: str | None, formats: dict[str, str]) -> Destination:
    """What `out` (or its absence) means for these inputs. `formats` maps a file ending to the format's name. Raises `UsageError`.

    A folder is meant by a trailing slash, by an existing folder, by several inputs or by a folder among them, and by a name without an
    ending; otherwise `out` is the file of the one input, whose ending gives the format.
    """
    if format_name is not None and format_name not in formats.values():
        raise UsageError(f"`format={format_name!r}` cannot be written: choose one of {', '.join(dict.fromkeys(formats.values()))}")
    chosen = format_name or "png"
    if out is None:
        if STDIO not in inputs:
            return Destination(chosen)
        if len(inputs) > 1:
            raise UsageError("standard input (-) beside other inputs needs a folder for the results: `out=FOLDER/`")
        return Destination(chosen, stdout=True)
    several = len(inputs) > 1 or any(text != STDIO and Path(text).is_dir() for text in inputs)
    if out == STDIO:
        if several:
            raise UsageError("`out=-` writes one picture to standard output, but several inputs were given: use `out=FOLDER/`")
        return Destination(chosen, stdout=True)
    path = Path(out)
    if several and not path.exists() and path.suffix.lower() in formats and not out.endswith(("/", os.sep)):
        raise UsageError(f"`out={out}` names one file for several results: give a folder (`out={path.stem}/`)")
    if path.is_dir() or out.endswith(("/", os.sep)) or (several and not path.exists()) or not (several or path.suffix or path.exists()):
        return Destination(chosen, folder=path)
    if several:
        raise UsageError(f"`out={out}` is one file for several results: give a folder")
    ending = path.suffix.lower()
    if ending not in formats:
        raise UsageError(
            f"`out={out}`: {ending or 'no ending'} is not a format that can be written: use {', '.join(formats)}, or {out}/ for a folder"
        )
    if format_name is not None and formats[ending] != format_name:
        raise UsageError(f"`out={out}` is {formats[ending]} by its name, but `format` is {format_name}: give one of them")
    return Destination(formats[ending], file=path)


def check_targets(pairs: Iterable[tuple[InputFile, Path | None]]) -> dict[int, InputError]:
    """Of several inputs with one output the first is done; for each of the others, by its place, the error that says so.

    Raises `UsageError` naming both for an output that is one of the inputs.
    """
    pairs = list(pairs)
    clashes: dict[int, InputError] = {}
    sources = {_key(found.path): found for found, _ in pairs if found.path is not None}
    taken: dict[str, InputFile] = {}
    for place, (found, target) in enumerate(pairs):
        if target is None:
            continue
        key = _key(target)
        if key in sources:
            raise UsageError(f"{target}, the result of {found.name}, would overwrite the input {sources[key].name}: choose another output")
        if key in taken:
            clashes[place] = InputError(
                f"{found.name} would be written to {target} as {taken[key].name} is: rename one, or upscale it alone with `out=FILE`"
            )
        else:
            taken[key] = found
    return clashes


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def make_folder(folder: Path) -> None:
    """Create `folder` if need be and prove that a file can be made in it. Raises `OutputError`: better now than after the work."""
    probe = folder / f".upres-probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"{folder}: nothing can be written there ({error.strerror}): choose another `out`") from error
