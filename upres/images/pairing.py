"""Pair HR and LR files by name, and check their sizes from their headers, before any network runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.errors import InputError, UpresError, UsageError
from upres.images.io import READABLE_SUFFIXES, read_header
from upres.system.folders import find_files

MAX_SCALE = 16
_SSIM_WINDOW_PX = 11
_NAMED = 8  # file names listed in one message


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


def _pictures_in(folder: Path, what: str) -> list[Path]:
    """The pictures directly in `folder`, sorted; hidden files and other suffixes are skipped."""
    if not folder.is_dir():
        raise InputError(f"the {what} folder {folder} does not exist or is not a folder")
    found = find_files(folder, READABLE_SUFFIXES, recursive=False)
    if not found.files:
        suffixes = ", ".join(sorted(READABLE_SUFFIXES))
        raise InputError(
            f"the {what} folder {folder} contains no pictures; expected files ending in {suffixes}; "
            f"passed over: {found.words}"
        )
    return found.files


def _key(stem: str, scale: int) -> str:
    """The stem without its suffix: `baby` for `babyx4`, `baby_x4`, `baby_HR`, `baby_LR` and `baby_LRx4`."""
    found = re.fullmatch(rf"(.+?)(?:[_-](?:hr|lr))?(?:[_-]?x{scale})?", stem, re.IGNORECASE)
    return stem if found is None else found[1]


def find_pairs(hr_folder: Path, lr_folder: Path | None, scale: int) -> list[FilePair]:
    """Pair HR and LR pictures that have the same name up to suffixes such as `_HR`, `_LR`, `x4` and `_LRx4`.

    Args:
        hr_folder: Folder of HR pictures; subfolders are not searched.
        lr_folder: Folder of LR pictures; None if LR is to be made from HR.
        scale: The number in the suffix `x4`.

    Returns:
        One pair for every HR picture, sorted by name.

    Raises:
        InputError: A folder has no pictures, or a picture has no partner or several.
    """
    highs = _pictures_in(hr_folder, "HR")
    if lr_folder is None:
        return [FilePair(path, None) for path in highs]
    lows = _pictures_in(lr_folder, "LR")
    pairs: list[FilePair] = []
    unpaired: list[str] = []
    for high in highs:
        partners = [low for low in lows if low.stem == high.stem]
        partners = partners or [low for low in lows if _key(low.stem, scale) == _key(high.stem, scale)]
        if len(partners) > 1:
            names = _list_names([low.name for low in partners])
            raise InputError(f"{high.name} matches several LR pictures in {lr_folder}: {names}; keep one")
        if partners:
            pairs.append(FilePair(high, partners[0]))
        else:
            unpaired.append(high.name)
    if unpaired:
        raise InputError(
            f"{len(unpaired)} of {len(highs)} HR pictures have no LR picture of the same name (optionally followed by "
            f"x{scale}) in {lr_folder}: {_list_names(unpaired)}"
        )
    spare = sorted({low.name for low in lows} - {pair.lr.name for pair in pairs if pair.lr is not None})
    if spare:
        raise InputError(
            f"{len(spare)} of {len(lows)} LR pictures have no HR picture of the same name in {hr_folder}: "
            f"{_list_names(spare)}"
        )
    return pairs


def check_sizes(pairs: Sequence[FilePair], scale: int) -> tuple[list[FilePair], dict[str, str]]:
    """Check sizes from file headers.

    Returns:
        The measurable pairs, and {HR name: reason} for pictures that are unreadable or too small.

    Raises:
        InputError: An LR size is not the HR size divided by `scale` (rounded down).
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
        if low is not None and (low.height, low.width) != (height, width):
            misfits.append(
                f"{pair.name} is {high.width} x {high.height}, so LR must be {width} x {height}, "
                f"got {low.width} x {low.height}"
            )
        elif inner < _SSIM_WINDOW_PX:
            needed = math.ceil((_SSIM_WINDOW_PX + 2 * scale) / scale) * scale
            failed[pair.name] = (
                f"{high.width} x {high.height} is too small to measure at scale {scale}; "
                f"expected at least {needed} x {needed}"
            )
        else:
            good.append(pair)
    if misfits:
        listed = "; ".join(misfits[:_NAMED])
        raise InputError(f"{len(misfits)} of {len(pairs)} LR pictures do not match scale {scale}: {listed}")
    return good, failed
