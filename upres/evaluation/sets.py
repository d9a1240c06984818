"""Test sets: folders of HR with LR made or given, LR alone, and results of other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from upres.errors import InputError, UsageError
from upres.images.pairing import FilePair, match_files, pictures_in, words_of_faults
from upres.system.folders import own_results


@dataclass(frozen=True, slots=True)
class LowFile:
    """An LR picture without ground truth."""

    lr: Path
    hr: None = None

    @property
    def name(self) -> str:
        """The file name."""
        return self.lr.name


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures to measure on.

    name: Such as "Set5".
    pictures: Pairs, or LR files where there is no ground truth.
    left_out: How many results of `upres upscale` beside their pictures are not measured.
    others: Results of other programs: by name, then by the name of the picture.
    """

    name: str
    pictures: Sequence[FilePair | LowFile]
    left_out: int = 0
    others: Mapping[str, Mapping[str, Path]] = field(default_factory=dict[str, dict[str, Path]])


def find_set(name: str, hr: Path | None, lr: Path | None, scale: int) -> PictureSet:
    """The pictures of a set.

    hr: None: no ground truth.
    lr: None: LR is made from HR.

    Raises `InputError` for a folder without pictures and for pictures that do not match; `UsageError` for no folder.
    """
    if hr is None:
        if lr is None:
            raise UsageError("name a folder of HR pictures by `hr` or `sets`, or one of LR pictures by `lr`")
        return PictureSet(name, [LowFile(path) for path in pictures_in(lr, "LR")])
    found = pictures_in(hr, "HR")
    results = own_results(found)
    highs = [path for path in found if path not in results]
    if lr is None:
        return PictureSet(name, [FilePair(path, None) for path in highs], len(results))
    pairs, faults = match_files(highs, pictures_in(lr, "LR"), hr, lr, scale)
    if faults:
        raise InputError(words_of_faults(faults, hr, lr, scale))
    return PictureSet(name, pairs, len(results))


def find_others(pictures: PictureSet, folder: Path, scale: int) -> dict[str, Path]:
    """The results of another program, by the name of the picture. Pictures of the folder beyond the set do not matter.

    Raises `InputError` for pictures of the set that have no result, or several.
    """
    sources = [one.hr or one.lr for one in pictures.pictures]
    files = [path for path in sources if path is not None]
    pairs, faults = match_files(files, pictures_in(folder, "SR"), files[0].parent, folder, scale)
    wrong = [fault.replace(" LR picture", " SR picture") for fault in faults if " has no HR picture" not in fault]
    if wrong:
        raise InputError(f"the SR pictures in {folder} do not match the set {pictures.name}: " + "; ".join(wrong[:8]))
    return {pair.name: pair.lr for pair in pairs if pair.lr is not None}


def parse_named(text: str, parameter: str) -> tuple[str, list[Path]]:
    """`NAME=DIR` or `NAME=DIR,DIR`. Raises `UsageError`, naming the parameter."""
    name, equals, rest = text.partition("=")
    folders = [Path(rest)] if Path(rest).is_dir() else [Path(part.strip()) for part in rest.split(",")]
    if not name.strip() or not equals or not rest or len(folders) > 2:
        raise UsageError(f"`{parameter}` must be NAME=DIR, got {text!r}")
    return name.strip(), folders
