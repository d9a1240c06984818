"""From folders of photographs to shards: checks, removes copies, cuts crops and splits by picture. Holds one picture at
a time.

Every picture is decoded twice: to check and compare it before anything is written, and to cut it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np

from upres.errors import DataError, InputError, OutputError, UsageError
from upres.training.data.crops import Options, changes_255, check_options, places
from upres.training.data.duplicates import Signature, find_duplicates, signature
from upres.training.data.excerpts import Excerpts
from upres.training.data.images import Levels, center, convert, find_pictures, read_levels, reduced
from upres.training.data.keypoints import Keypoints, check_opencv, keypoints
from upres.training.data.shard_writer import ShardWriter, begin, strangers
from upres.training.data.shards import Entry, is_shards

_VALIDATION_PX: Final = 1024  # maximum side of a validation picture, whose center is used
Progress = Callable[[str, int, int], None]


@dataclass
class PrepareReport:
    """What became of the pictures.

    pictures, crops: used for training.
    flat: crops dropped as flat.
    validation: pictures kept for validation.
    shards, bytes: files written, and their size.
    unreadable: pictures that could not be read.
    left_out: messages on the pictures that are not used.
    notes: other messages.
    """

    pictures: int = 0
    crops: int = 0
    flat: int = 0
    validation: int = 0
    shards: int = 0
    bytes: int = 0
    unreadable: int = 0
    left_out: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class _Checked:
    path: Path
    name: str
    channels: int
    depth: int
    pixels: str
    signature: Signature
    part_of: str | None  # the excluded picture that shares a part with it


def prepare(
    folders: Sequence[Path],
    out: Path,
    options: Options = Options(),  # noqa: B008  # frozen
    *,
    exclude: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Progress = lambda stage, done, of: None,
) -> PrepareReport:
    """Make a set of shards in `out` from all pictures below `folders`.

    folders: read recursively.
    out: a new or empty folder, or shards to replace.
    options: how to cut.
    exclude: folders of test pictures; copies and parts of them are not used.
    overwrite: whether to replace shards in `out`.
    progress: called with (stage, pictures done, pictures in all).

    Raises `DataError` if no picture can be used, `UsageError` for invalid options, `OutputError` if `out` holds other
    files or cannot be written.
    """
    check_options(options)
    paths = _named(folders)
    excluded = [path for folder in exclude for path in find_pictures(folder, "exclude")]
    _check_out(folders, out, overwrite)
    if excluded:
        check_opencv()

    report = PrepareReport()
    seen: list[Keypoints] = []
    against = [
        entry.signature for entry in _read_all(excluded, "comparing", progress, report, smallest_px=1, see=seen.append)
    ]
    for words in report.left_out:
        report.notes.append(f"not compared with: {words}")
    report.left_out.clear()
    find = Excerpts(seen).find if seen else None
    checked = list(
        _read_all(list(paths), "checking", progress, report, smallest_px=options.smallest_px, names=paths, see=find)
    )
    if not checked:
        raise DataError("none of the pictures can be used:\n  " + "\n  ".join(report.left_out[:10]))
    channels, depth = _kind(checked, options)
    checked = _without_copies(checked, against, report)
    if not checked:
        raise DataError("all pictures are copies of others:\n  " + "\n  ".join(report.left_out[:10]))
    held_out = _held_out(checked, options.validation, report)

    begin(out)
    writer = ShardWriter(out, channels, depth, options.shard_mb * 2**20)
    crops: list[Entry] = []
    validation: list[Entry] = []
    try:
        for number, entry in enumerate(checked):
            levels = convert(_again(entry), channels, depth)
            if entry in held_out:
                validation.append(writer.add(entry.name, center(levels, _VALIDATION_PX)))
            else:
                crops += _cut(entry.name, levels, options, writer, report)
            progress("cutting", number + 1, len(checked))
        if not crops:
            raise DataError(f"all crops are flat: a `flat_255` below {options.flat_255:g} keeps more")
        report.pictures, report.crops, report.validation = len(checked) - len(held_out), len(crops), len(validation)
        writer.finish(crops, validation, _facts(options, report))
    finally:
        writer.abandon()  # does nothing if finished
    report.shards, report.bytes = len(writer.shards), sum(shard["bytes"] for shard in writer.shards)
    return report


def _named(folders: Sequence[Path]) -> dict[Path, str]:
    """Every picture with its name: the path relative to its folder."""
    return {
        path: path.relative_to(folder).as_posix() for folder in folders for path in find_pictures(folder, "folders")
    }


def _check_out(folders: Sequence[Path], out: Path, overwrite: bool) -> None:
    for folder in folders:
        if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
            raise UsageError(f"`out={out}` is in {folder}, whose pictures are read: choose a folder outside of it")
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"`out={out}` is a file: choose a folder")
    foreign = strangers(out)
    if foreign:
        raise OutputError(f"{out} holds other files ({', '.join(foreign[:3])}): choose a new or empty folder")
    if is_shards(out) and not overwrite:
        raise OutputError(f"{out} already holds shards: use `overwrite=True` to replace them, or choose another `out`")


def _facts(options: Options, report: PrepareReport) -> dict[str, object]:
    """The index's contents besides the crops."""
    counts = {"pictures": report.pictures, "validation": report.validation, "crops": report.crops, "flat": report.flat}
    return {
        "columns": [column.name for column in fields(Entry)],
        "counts": counts,
        "options": asdict(options),
        "left_out": report.left_out,
    }


def _read_all(
    paths: Sequence[Path],
    stage: str,
    progress: Progress,
    report: PrepareReport,
    *,
    smallest_px: int,
    names: dict[Path, str] | None = None,
    see: Callable[[Keypoints], str | None] | None = None,
) -> Iterator[_Checked]:
    """Read and check pictures; reports those that cannot be read or are too small. Without `names` they are pictures to
    exclude.
    """
    for number, path in enumerate(paths):
        progress(stage, number, len(paths))
        try:
            levels = read_levels(path)
        except InputError as error:
            report.unreadable += names is not None
            report.left_out.append(str(error))
            continue
        height, width, channels = levels.shape
        if min(height, width) < smallest_px:
            report.left_out.append(f"{path} is {width}x{height}, smaller than `smallest_px={smallest_px}`")
            continue
        name = names[path] if names is not None else f"{path} (`exclude`)"
        pixels = _digest(levels)
        part_of = see(keypoints(name, levels)) if see is not None else None
        yield _Checked(
            path, name, channels, 8 * levels.dtype.itemsize, pixels, signature(name, levels, pixels), part_of
        )
    progress(stage, len(paths), len(paths))


def _digest(levels: Levels) -> str:
    return hashlib.sha256(
        f"{levels.shape}|{levels.dtype}|".encode() + np.ascontiguousarray(levels).tobytes()
    ).hexdigest()


def _again(entry: _Checked) -> Levels:
    """The picture, read again. Raises `DataError` if it has changed since it was checked."""
    try:
        levels = read_levels(entry.path)
    except InputError as error:
        raise DataError(f"{entry.path} can no longer be read ({error}): start again when nothing changes it") from error
    if _digest(levels) != entry.pixels:
        raise DataError(f"{entry.path} changed while it was being prepared: start again when nothing changes it")
    return levels


def _kind(checked: Sequence[_Checked], options: Options) -> tuple[int, int]:
    found = {entry.channels: entry.path for entry in checked}
    if not options.channels and len(found) > 1:
        raise DataError(
            f"gray and color pictures are mixed: {found[1]} is gray, {found[3]} is color. `channels=3` repeats gray to "
            "three channels, "
            "`channels=1` takes the luma of color"
        )
    return options.channels or next(iter(found)), options.depth or max(entry.depth for entry in checked)


def _without_copies(checked: list[_Checked], against: list[Signature], report: PrepareReport) -> list[_Checked]:
    copies = {
        index: (of, exact) for index, of, exact in find_duplicates([entry.signature for entry in checked], against)
    }
    kept: list[_Checked] = []
    for index, entry in enumerate(checked):
        if index in copies:
            of, exact = copies[index]
            report.left_out.append(f"{entry.path} is {'an exact copy' if exact else 'nearly a copy'} of {of}")
        elif entry.part_of is not None:
            report.left_out.append(f"{entry.path} shares a part with {entry.part_of}")
        else:
            kept.append(entry)
    return kept


def _held_out(checked: list[_Checked], validation: float, report: PrepareReport) -> list[_Checked]:
    """Chosen by the hash of their pixels, so that adding pictures to a folder moves few of them; a quarter of all at
    most.
    """
    wanted = int(validation) if validation >= 1 else round(validation * len(checked))
    count = min(wanted, len(checked) // 4)
    if count < wanted:
        report.notes.append(
            f"{count} pictures are kept for validation, not {wanted}: at most a quarter of {len(checked)}"
        )
    return sorted(checked, key=lambda entry: entry.pixels)[:count]


def _cut(name: str, levels: Levels, options: Options, writer: ShardWriter, report: PrepareReport) -> list[Entry]:
    entries: list[Entry] = []
    for scale in options.scales:
        image = levels if scale == 1.0 else reduced(levels, scale)
        if min(image.shape[:2]) < options.smallest_px:
            continue
        lefts = places(image.shape[1], options.crop_px, options.step_px)
        for top in places(image.shape[0], options.crop_px, options.step_px):
            band = image[top : top + options.crop_px]
            for left, change in zip(lefts, changes_255(band, lefts, options.crop_px), strict=True):
                if change < options.flat_255:
                    report.flat += 1
                else:
                    entries.append(writer.add(name, band[:, left : left + options.crop_px], top, left, scale))
    return entries
