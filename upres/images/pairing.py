"""Which LR picture belongs to which HR picture, and whether their sizes fit: names and headers only, before any network runs."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.errors import InputError, UpresError, UsageError
from upres.images.io import READABLE_SUFFIXES, read_header

MAX_SCALE = 16
_SSIM_WINDOW_PX = 11
_NAMED = 8  # file names in one message; more are counted


@dataclass(frozen=True, slots=True)
class FilePair:
    """An HR picture and its LR picture; `lr` None: LR is made from HR."""

    hr: Path
    lr: Path | None

    @property
    def name(self) -> str:
        return self.hr.name


def check_scale(scale: int) -> None:
    """Raises `UsageError` for a scale outside 1..16."""
    if not 1 <= scale <= MAX_SCALE:
        raise UsageError(f"`scale` must be a whole number from 1 to {MAX_SCALE}, got {scale}")


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _pictures_in(folder: Path, what: str) -> list[Path]:
    """The pictures directly in `folder`, by name; hidden files and other endings are passed over."""
    if not folder.is_dir():
        raise InputError(f"the {what} folder {folder} is not a folder that can be read")
    endings = frozenset(READABLE_SUFFIXES)
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings and not path.name.startswith(".") and path.is_file())
    if not found:
        raise InputError(f"the {what} folder {folder} holds no picture: expected files that end in {', '.join(sorted(endings))}")
    return found


def _key(stem: str, scale: int) -> str:
    """What remains of `baby`, `babyx4`, `baby_x4`, `baby_HR`, `baby_LR` and `baby_LRx4`: baby."""
    found = re.fullmatch(rf"(.+?)(?:[_-](?:hr|lr))?(?:[_-]?x{scale})?", stem, re.IGNORECASE)
    return stem if found is None else found[1]


def find_pairs(hr_folder: Path, lr_folder: Path | None, scale: int) -> list[FilePair]:
    """Every HR picture with its LR picture of the same name, or of the same name with a suffix such as `x4`, `_x4`, `_LR` (HR: `_HR`).

    Raises `InputError` for a folder without pictures, for any picture of either folder that has no partner, and for one with several.
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
            raise InputError(f"{high.name} has several LR pictures in {lr_folder}: {_list_names([low.name for low in partners])}; keep one")
        if partners:
            pairs.append(FilePair(high, partners[0]))
        else:
            unpaired.append(high.name)
    if unpaired:
        raise InputError(
            f"{len(unpaired)} of {len(highs)} HR pictures have no LR picture of the same name (or with x{scale} behind it) in {lr_folder}: "
            f"{_list_names(unpaired)}"
        )
    spare = sorted({low.name for low in lows} - {pair.lr.name for pair in pairs if pair.lr is not None})
    if spare:
        raise InputError(
            f"{len(spare)} of {len(lows)} LR pictures have no HR picture of the same name in {hr_folder}: {_list_names(spare)}"
        )
    return pairs


def check_sizes(pairs: Sequence[FilePair], scale: int) -> tuple[list[FilePair], dict[str, str]]:
    """The pairs that can be measured, and {file: reason} for pictures that cannot be read or are too small.

    Reads headers only. Raises `InputError` where an LR picture does not have the size of its HR picture divided by `scale`.
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
                f"{pair.name} is {high.width} x {high.height}, so LR must be {width} x {height}, but it is {low.width} x {low.height}"
            )
        elif inner < _SSIM_WINDOW_PX:
            needed = math.ceil((_SSIM_WINDOW_PX + 2 * scale) / scale) * scale
            failed[pair.name] = (
                f"{high.width} x {high.height} is too small to measure at scale {scale}: at least {needed} x {needed} is needed"
            )
        else:
            good.append(pair)
    if misfits:
        raise InputError(f"{len(misfits)} of {len(pairs)} LR pictures do not fit scale {scale}: " + "; ".join(misfits[:_NAMED]))
    return good, failed
