"""Which LR picture belongs to which HR picture, and whether their sizes fit: names and headers only, before any network
runs.

Names: partners lie in the same place below their folders and have the same name, or the same name without the affixes
of the field. Sizes: LR is HR / scale, rounded down or up on each axis. HR is cropped to a multiple of the scale and LR
to that size, top left kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from upres.errors import InputError, UpresError, UsageError
from upres.images.io import READABLE_SUFFIXES, read_header
from upres.system.folders import find_files

MAX_SCALE = 16
_SSIM_WINDOW_PX = 11
_FAULTS = 20  # faults in one message; more are counted
_NAMED = 8  # file names in one message; more are counted


@dataclass(frozen=True, slots=True)
class FilePair:
    """An HR picture and its LR picture; `lr` None if LR is made from HR."""

    hr: Path
    lr: Path | None

    @property
    def name(self) -> str:
        return self.hr.name


def check_scale(scale: int) -> None:
    """Raises `UsageError` for a scale outside 1..16."""
    if not 1 <= scale <= MAX_SCALE:
        raise UsageError(f"`scale` must be an integer from 1 to {MAX_SCALE}, got {scale}")


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def pictures_in(folder: Path, what: str) -> list[Path]:
    """The pictures directly in `folder`, sorted; hidden files and other suffixes are skipped."""
    if not folder.is_dir():
        raise InputError(f"the {what} folder {folder} does not exist or is not a folder")
    found = find_files(folder, READABLE_SUFFIXES, recursive=False)
    if not found.files:
        suffixes = ", ".join(sorted(READABLE_SUFFIXES))
        raise InputError(
            f"the {what} folder {folder} contains no pictures; expected files ending in {suffixes}; passed over: "
            f"{found.words}"
        )
    return found.files


def base_name(stem: str, scale: int) -> str:
    """`stem` without the affixes by which data sets tell HR from LR; never empty.

    `0801x4`, `0801x4m` (DIV2K: mild, difficult, wild), `baby_LRBI_x4`, `img_001_SRF_4_LR` (Set5 and its kin),
    `Canon_001_LR4` (RealSR), `photo_GT`, `photo_lq`, `photo_SR`, `HR_photo`.
    """
    affixes = (
        rf"(.+?)[_-]?x{scale}(?:[md]|w\d?)?", r"(.+?)[_-](?:hr|lr|lrbi|bicubic|gt|hq|lq|sr)",
        rf"(.+?)[_-](?:lr|srf[_-]){scale}", r"(?:hr|lr|gt|hq|lq)[_-](.+)",
    )  # fmt: skip
    while found := next(filter(None, (re.fullmatch(affix, stem, re.IGNORECASE) for affix in affixes)), None):
        stem = found[1]
    return stem


def match_files(
    highs: Sequence[Path], lows: Sequence[Path], hr_folder: Path, lr_folder: Path, scale: int
) -> tuple[list[FilePair], list[str]]:
    """The pairs among files below the two folders, and what is wrong, one line for each file that has no partner or
    several.
    """

    def grouped(paths: Iterable[Path], folder: Path, name: Callable[[Path], str]) -> dict[Path, list[Path]]:
        groups: dict[Path, list[Path]] = {}
        for path in paths:
            groups.setdefault(path.relative_to(folder).parent / name(path), []).append(path)
        return groups

    def base(path: Path) -> str:
        return base_name(path.stem, scale)

    # of an HR picture: those of the same name first, then of the same base among the rest
    partners: dict[Path, list[Path]] = {}
    for name in (attrgetter("stem"), base):
        taken = {low for found in partners.values() for low in found}
        groups = grouped((low for low in lows if low not in taken), lr_folder, name)
        for place, owners in grouped((high for high in highs if high not in partners), hr_folder, name).items():
            partners |= {high: groups[place] for high in owners if place in groups}

    pairs: list[FilePair] = []
    faults: list[str] = []
    owner: dict[Path, Path] = {}
    for high in highs:
        found = partners.get(high, [])
        if len(found) > 1:
            faults.append(
                f"{high.name} matches several LR pictures in {lr_folder}: {_list_names([low.name for low in found])}; "
                "keep one"
            )
        elif not found:
            faults.append(f"{high.name} has no LR picture in {lr_folder}")
        elif (other := owner.setdefault(found[0], high)) != high:
            faults.append(f"{found[0].name} is the LR picture of both {other.name} and {high.name}; keep one")
        else:
            pairs.append(FilePair(high, found[0]))
    claimed = {low for found in partners.values() for low in found}
    return pairs, faults + [f"{low.name} has no HR picture in {hr_folder}" for low in lows if low not in claimed]


def words_of_faults(faults: Sequence[str], hr_folder: Path, lr_folder: Path, scale: int) -> str:
    """The refusal of two folders, with what was expected and the first faults."""
    more = f"\n  and {len(faults) - _FAULTS} more" if len(faults) > _FAULTS else ""
    return (
        (
            f"the pictures in {hr_folder} and {lr_folder} do not match at x{scale}; expected one LR picture for each "
            "HR picture, "
            f"of the same name (or with an affix such as x{scale}, _LR, _HR) and 1/{scale} of its size, rounded down "
            "or up:\n  "
        )
        + "\n  ".join(faults[:_FAULTS])
        + more
    )


def find_pairs(hr_folder: Path, lr_folder: Path | None, scale: int) -> list[FilePair]:
    """The pictures directly in `hr_folder`, each with its partner in `lr_folder`, or without one where LR is made from
    HR.

    Args:
        hr_folder: Folder of HR pictures; subfolders are not searched.
        lr_folder: Folder of LR pictures; None if LR is to be made from HR.
        scale: The number in the suffix `x4`.

    Returns:
        One pair for every HR picture, sorted by name.

    Raises:
        InputError: A folder has no pictures, or a picture has no partner or several.
    """
    highs = pictures_in(hr_folder, "HR")
    if lr_folder is None:
        return [FilePair(path, None) for path in highs]
    pairs, faults = match_files(highs, pictures_in(lr_folder, "LR"), hr_folder, lr_folder, scale)
    if faults:
        raise InputError(words_of_faults(faults, hr_folder, lr_folder, scale))
    return pairs


def common_size(hr: tuple[int, int], lr: tuple[int, int], scale: int) -> tuple[int, int] | None:
    """(h, w) of LR after cropping, with HR `scale` times as large; None if the sizes do not match."""
    fits = all(high // scale <= low <= -(-high // scale) for high, low in zip(hr, lr, strict=True))
    return (hr[0] // scale, hr[1] // scale) if fits else None


def misfit(hr: tuple[int, int], lr: tuple[int, int], scale: int, name: str) -> str:
    """What is wrong with the sizes (height, width) of the pair `name`, or nothing."""
    if common_size(hr, lr, scale) is not None:
        return ""
    low, high = ((hr[1] // scale, hr[0] // scale), (-(-hr[1] // scale), -(-hr[0] // scale)))
    wanted = f"{low[0]} x {low[1]}" + (f" (or up to {high[0]} x {high[1]})" if low != high else "")
    return f"{name} is {hr[1]} x {hr[0]}, so LR must be {wanted}, but it is {lr[1]} x {lr[0]}"


def check_sizes(pairs: Sequence[FilePair], scale: int) -> tuple[list[FilePair], dict[str, str]]:
    """Check sizes from file headers.

    Returns:
        The measurable pairs, and {HR name: reason} for pictures that are unreadable or too small.

    Raises:
        InputError: An LR size is not the HR size divided by `scale`, rounded down or up.
    """
    good: list[FilePair] = []
    failed: dict[str, str] = {}
    misfits: list[str] = []
    for pair in pairs:
        try:
            high = read_header(pair.hr)
            low = None if pair.lr is None else read_header(pair.lr)
        except UpresError as error:
            failed[pair.name] = str(error)
            continue
        height, width = high.height // scale, high.width // scale
        inner = min(height, width) * scale - 2 * scale
        if low is not None and (words := misfit((high.height, high.width), (low.height, low.width), scale, pair.name)):
            misfits.append(words)
        elif inner < _SSIM_WINDOW_PX:
            needed = math.ceil((_SSIM_WINDOW_PX + 2 * scale) / scale) * scale
            failed[pair.name] = (
                f"{high.width} x {high.height} is too small to measure at scale {scale}; expected at least {needed} x "
                f"{needed}"
            )
        else:
            good.append(pair)
    if misfits:
        listed = "; ".join(misfits[:_NAMED])
        raise InputError(f"{len(misfits)} of {len(pairs)} LR pictures do not match scale {scale}: {listed}")
    return good, failed
