"""Find the input pictures and choose where each result goes, from names alone; `run.py` opens the pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upres.errors import InputError, OutputError, UsageError
from upres.images.animation import ANIMATED_FORMATS
from upres.images.io import WRITABLE_FORMATS
from upres.science.open import has_picture
from upres.system.folders import FOLDER_INSIDE, exists, find_files, is_folder, own_results
from upres.system.text import shown

STDIO = "-"
_FORMATS = WRITABLE_FORMATS | ANIMATED_FORMATS


@dataclass(frozen=True, slots=True)
class InputFile:
    """One picture to upscale.

    path: The file; None is standard input.
    folder: Its folder relative to the input folder; recreated under the output folder.
    """

    path: Path | None
    folder: Path = Path()

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)


@dataclass(slots=True)
class InputFiles:
    """Input pictures in the order given, and the number of skipped files by reason."""

    pictures: list[InputFile] = field(default_factory=list[InputFile])
    left_out: Counter[str] = field(default_factory=Counter[str])


def find_pictures(
    inputs: Sequence[str],
    *,
    recursive: bool,
    suffixes: Iterable[str],
    keep_out: Path | None,
    beside: bool,
    told: Mapping[str, str] | None = None,
) -> InputFiles:
    """Collect the pictures that `inputs` name.

    inputs: Files, folders and "-" (standard input). Missing files are kept and fail later, as any unreadable picture
        does.
    recursive: Include the pictures in subfolders.
    suffixes: Lower-case suffixes of pictures: ".png", ...
    keep_out: The output folder, which is not searched.
    beside: Results will be written beside the inputs, so skip earlier results (`NAME_x4.png` beside `NAME.*`).
    told: Why files with other endings are skipped: see `folders.reason_for`.
    """
    endings = frozenset(suffixes)
    findings = InputFiles()
    for text in dict.fromkeys(inputs):
        path = Path(text)
        if text == STDIO:
            findings.pictures.append(InputFile(None))
        elif is_folder(path):
            _walk(path, recursive, endings, keep_out, told or {}, findings)
        else:
            findings.pictures.append(InputFile(path))
    unique: dict[str, InputFile] = {}
    for found in findings.pictures:
        unique.setdefault(STDIO if found.path is None else os.path.realpath(found.path), found)
    findings.pictures = list(unique.values())
    if beside:
        _leave_out_own_results(findings)
    return findings


def _walk(
    top: Path,
    recursive: bool,
    endings: frozenset[str],
    keep_out: Path | None,
    told: Mapping[str, str],
    findings: InputFiles,
) -> None:
    found = find_files(top, endings, recursive=recursive, keep_out=keep_out, by_content=has_picture, told=told)
    findings.pictures += [InputFile(path, path.parent.relative_to(top)) for path in found.files]
    for reason, count in found.passed_over.items():
        findings.left_out[reason + (" (`recursive=True` includes them)" if reason == FOLDER_INSIDE else "")] += count


def _leave_out_own_results(findings: InputFiles) -> None:
    results = own_results(found.path for found in findings.pictures if found.path is not None)
    kept = [found for found in findings.pictures if found.path not in results]
    if results:
        findings.left_out["earlier result beside its picture (name it alone to upscale it)"] += len(results)
    findings.pictures = kept


@dataclass(frozen=True, slots=True)
class Destination:
    """Where results go: a file, a folder or standard output; otherwise beside each input.

    format: "png", "jpeg", ...
    file: The file of the only result.
    folder: The folder of all results.
    stdout: The only result goes to standard output.
    """

    format: str
    file: Path | None = None
    folder: Path | None = None
    stdout: bool = False

    @property
    def beside(self) -> bool:
        return self.file is None and self.folder is None and not self.stdout

    @property
    def ending(self) -> str:
        """The file suffix of results, such as ".png"."""
        if self.file is not None:
            return self.file.suffix.lower()
        return next(ending for ending, name in _FORMATS.items() if name == self.format)

    def target(self, found: InputFile, suffix: str, ending: str) -> Path | None:
        """The file for the result of `found`; None is standard output.

        suffix: Added to the name of a result beside its input: "_x4".
        ending: Of the file: ".png".
        """
        if self.stdout:
            return None
        if self.file is not None:
            return self.file
        source = Path("stdin") if found.path is None else found.path
        if self.folder is not None:
            return self.folder / found.folder / f"{source.stem}{ending}"
        return source.with_name(f"{source.stem}{suffix}{ending}")


def choose_destination(
    inputs: Sequence[str], out: str | None, format_name: str | None, formats: dict[str, str]
) -> Destination:
    """Interpret `out` for these inputs. Raises `UsageError` if it does not fit them.

    inputs: As given by the user.
    out: A folder if it ends in a slash, exists as a folder or has no suffix, or if there are several inputs or a folder
        among them; otherwise the file of the only result. None: beside each input.
    format_name: "png", "jpeg", ...; None: by the suffix of `out`, or png.
    formats: Format names by file suffix.
    """
    if format_name is not None and format_name not in formats.values():
        raise UsageError(
            f"`format={format_name!r}` cannot be written; choose one of {', '.join(dict.fromkeys(formats.values()))}"
        )
    chosen = format_name or "png"
    if out is None:
        if STDIO not in inputs:
            return Destination(chosen)
        if len(inputs) > 1:
            raise UsageError("standard input (-) with other inputs needs an output folder: `out=FOLDER/`")
        return Destination(chosen, stdout=True)
    several = len(inputs) > 1 or any(text != STDIO and is_folder(text) for text in inputs)
    if out == STDIO:
        if several:
            raise UsageError(
                "`out=-` writes one picture to standard output, but there are several inputs; use `out=FOLDER/`"
            )
        return Destination(chosen, stdout=True)
    path = Path(out)
    if several and not exists(path) and path.suffix.lower() in formats and not out.endswith(("/", os.sep)):
        raise UsageError(f"`out={out}` names one file for several results; name a folder (`out={path.stem}/`)")
    if (
        is_folder(path)
        or out.endswith(("/", os.sep))
        or (several and not exists(path))
        or not (several or path.suffix or exists(path))
    ):
        return Destination(chosen, folder=path)
    if several:
        raise UsageError(f"`out={out}` is a file, but there are several results; name a folder")
    ending = path.suffix.lower()
    if ending not in formats:
        raise UsageError(
            f"`out={out}`: cannot write {ending or 'a file without a suffix'}; use {', '.join(formats)}, "
            f"or {out}/ for a folder"
        )
    if format_name is not None and formats[ending] != format_name:
        raise UsageError(
            f"`out={out}` has the suffix of {formats[ending]}, but `format` is {format_name}; set only one of them"
        )
    return Destination(formats[ending], file=path)


def check_targets(pairs: Iterable[tuple[InputFile, Path | None]]) -> dict[int, InputError]:
    """Find results that would go to the same file. The first one is made; returns the errors of the others, by index.

    Raises `UsageError` if a result would overwrite an input.
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
            raise UsageError(
                f"the result of {shown(found.name)} would overwrite the input {shown(sources[key].name)}; "
                "choose another output"
            )
        if key in taken:
            clashes[place] = InputError(
                f"{shown(found.name)} and {shown(taken[key].name)} have the same output {shown(target)}; rename one, "
                "or upscale it alone with `out=FILE`"
            )
        else:
            taken[key] = found
    return clashes


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))


def make_folder(folder: Path) -> None:
    """Create `folder` if needed and check that it is writable, before any work is done. Raises `OutputError` if it is
    not.
    """
    probe = folder / f".upres-probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(f"cannot write to the folder {folder}: {error.strerror}; choose another `out`") from error
