"""From folders of photographs to shards: checked, without copies, cut, split by picture. One picture in memory at a time.

Every picture is decoded twice: once to be checked and compared, before anything is written, once to be cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np

from upres.errors import DataError, InputError, OutputError, UsageError
from upres.training.data.duplicates import Signature, find_duplicates, signature
from upres.training.data.excerpts import Excerpts
from upres.training.data.images import Levels, center, convert, find_pictures, read_levels, reduced
from upres.training.data.keypoints import Keypoints, check_opencv, keypoints
from upres.training.data.shards import Entry, ShardWriter, begin, is_shards, strangers

_VALIDATION_PX: Final = 1024  # a side of a validation picture at most: its center
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """Sizes are pixels of HR. `validation`: a number of pictures, or below 1 a share. `flat_255`: crops whose luma changes by less from
    pixel to pixel, on average, are dropped. `scales`: each picture is also cut reduced by these factors. 0 channels or depth: as the data.
    """

    crop_px: int = 480
    step_px: int = 240
    smallest_px: int = 128
    flat_255: float = 1.0
    validation: float = 5.0
    scales: tuple[float, ...] = (1.0,)
    channels: int = 0
    depth: int = 0
    shard_mb: int = 256


@dataclass
class PrepareReport:
    """What became of the pictures. `left_out` names each that is not used, and why; `flat` counts crops that were dropped."""

    pictures: int = 0
    crops: int = 0
    flat: int = 0
    validation: int = 0
    shards: int = 0
    bytes: int = 0
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
    part_of: str | None  # the excluded picture with which it shares a part


def prepare(
    folders: Sequence[Path],
    out: Path,
    options: Options = Options(),  # frozen
    *,
    exclude: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Progress = lambda stage, done, of: None,
) -> PrepareReport:
    """Make a set of shards in `out` from all pictures below `folders`.

    Copies are used once; what copies a picture below one of `exclude` is not used at all. Raises `DataError` where nothing can be used,
    `UsageError` for options that cannot be, and `OutputError` where `out` holds something, or cannot be written.
    """
    _check(options)
    paths = _named(folders)
    excluded = [path for folder in exclude for path in find_pictures(folder, "--exclude")]
    _check_out(folders, out, overwrite)
    if excluded:
        check_opencv()

    report = PrepareReport()
    seen: list[Keypoints] = []
    against = [entry.signature for entry in _read_all(excluded, "comparing", progress, report, smallest_px=1, see=seen.append)]
    for words in report.left_out:
        report.notes.append(f"not compared with: {words}")
    report.left_out.clear()
    find = Excerpts(seen).find if seen else None
    checked = list(_read_all(list(paths), "checking", progress, report, smallest_px=options.smallest_px, names=paths, see=find))
    if not checked:
        raise DataError("no picture can be used:\n  " + "\n  ".join(report.left_out[:10]))
    channels, depth = _kind(checked, options)
    checked = _without_copies(checked, against, report)
    if not checked:
        raise DataError("no picture is left, all are copies of others:\n  " + "\n  ".join(report.left_out[:10]))
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
            raise DataError(f"every crop is flat: a --flat below {options.flat_255:g} keeps more")
        report.pictures, report.crops, report.validation = len(checked) - len(held_out), len(crops), len(validation)
        writer.finish(crops, validation, _facts(options, report))
    finally:
        writer.abandon()  # nothing where it is finished
    report.shards, report.bytes = len(writer.shards), sum(shard["bytes"] for shard in writer.shards)
    return report


def _check(options: Options) -> None:
    if options.crop_px < 32 or not 1 <= options.step_px <= options.crop_px or not 16 <= options.smallest_px <= options.crop_px:
        raise UsageError(
            f"expected --crop of 32 pixels or more, --step from 1 to --crop and --smallest from 16 to --crop, got {options.crop_px}, "
            f"{options.step_px} and {options.smallest_px}"
        )
    if options.validation < 0 or (options.validation >= 1 and not float(options.validation).is_integer()):
        raise UsageError(f"--validation is a number of pictures, or a share below 1, got {options.validation:g}")
    if not options.scales or not all(0.0 < scale <= 1.0 for scale in options.scales):
        raise UsageError(f"--scales must lie in (0, 1], got {', '.join(map(str, options.scales))}")
    if options.channels not in (0, 1, 3) or options.depth not in (0, 8, 16) or options.flat_255 < 0 or options.shard_mb < 1:
        raise UsageError("expected --channels 1 or 3, --depth 8 or 16, --flat of 0 or more and --shard-mb of 1 or more")


def _named(folders: Sequence[Path]) -> dict[Path, str]:
    """Every picture with the name it gets: its path below its folder."""
    return {path: path.relative_to(folder).as_posix() for folder in folders for path in find_pictures(folder, "upres prepare")}


def _check_out(folders: Sequence[Path], out: Path, overwrite: bool) -> None:
    for folder in folders:
        if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
            raise UsageError(f"-o {out} lies in {folder}, whose pictures are read: choose a folder outside of it")
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"-o {out} is a file: choose a folder")
    foreign = strangers(out)
    if foreign:
        raise OutputError(f"{out} holds other files ({', '.join(foreign[:3])}): choose an empty folder, or a new one")
    if is_shards(out) and not overwrite:
        raise OutputError(f"{out} holds shards already: --overwrite replaces them, or choose another -o")


def _facts(options: Options, report: PrepareReport) -> dict[str, object]:
    """What the index tells besides where the crops lie."""
    counts = {"pictures": report.pictures, "validation": report.validation, "crops": report.crops, "flat": report.flat}
    return {"columns": [column.name for column in fields(Entry)], "counts": counts, "options": asdict(options), "left_out": report.left_out}


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
    """What can be read and is large enough; the rest is named in the report. Without `names` they are pictures to be excluded."""
    for number, path in enumerate(paths):
        progress(stage, number, len(paths))
        try:
            levels = read_levels(path)
        except InputError as error:
            report.left_out.append(str(error))
            continue
        height, width, channels = levels.shape
        if min(height, width) < smallest_px:
            report.left_out.append(f"{path} is {width}x{height}, smaller than {smallest_px} pixels (--smallest)")
            continue
        name = names[path] if names is not None else f"{path} (--exclude)"
        pixels = _digest(levels)
        part_of = see(keypoints(name, levels)) if see is not None else None
        yield _Checked(path, name, channels, 8 * levels.dtype.itemsize, pixels, signature(name, levels, pixels), part_of)
    progress(stage, len(paths), len(paths))


def _digest(levels: Levels) -> str:
    return hashlib.sha256(f"{levels.shape}|{levels.dtype}|".encode() + np.ascontiguousarray(levels).tobytes()).hexdigest()


def _again(entry: _Checked) -> Levels:
    """The picture as it was checked. Raises `DataError` where it was changed meanwhile."""
    try:
        levels = read_levels(entry.path)
    except InputError as error:
        raise DataError(f"{entry.path} could be read before and cannot now ({error}): begin again when nothing changes it") from error
    if _digest(levels) != entry.pixels:
        raise DataError(f"{entry.path} was changed while it was prepared: begin again when nothing changes it")
    return levels


def _kind(checked: Sequence[_Checked], options: Options) -> tuple[int, int]:
    found = {entry.channels: entry.path for entry in checked}
    if not options.channels and len(found) > 1:
        raise DataError(
            f"gray and color pictures are mixed: {found[1]} is gray, {found[3]} is color. --channels 3 repeats gray to three channels, "
            "--channels 1 takes the luma of color"
        )
    return options.channels or next(iter(found)), options.depth or max(entry.depth for entry in checked)


def _without_copies(checked: list[_Checked], against: list[Signature], report: PrepareReport) -> list[_Checked]:
    copies = {index: (of, exact) for index, of, exact in find_duplicates([entry.signature for entry in checked], against)}
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
    """By the hash of their pixels: adding pictures to a folder moves few from one side to the other, and names none. A quarter at most."""
    wanted = int(validation) if validation >= 1 else round(validation * len(checked))
    count = min(wanted, len(checked) // 4)
    if count < wanted:
        report.notes.append(f"{count} pictures are kept for validation instead of {wanted}: a quarter of {len(checked)} at most")
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


def places(side: int, crop: int, step: int) -> list[int]:
    """Where crops begin along one side: every `step`, and the last at the border, so that every pixel is in one."""
    if side <= crop:
        return [0]
    begins = list(range(0, side - crop + 1, step))
    return begins if begins[-1] == side - crop else [*begins, side - crop]


def changes_255(band: Levels, lefts: Sequence[int], width: int) -> list[float]:
    """For each part of `band`, `width` wide and from one of `lefts` on: how much the luma changes from pixel to pixel, on average, in
    levels of 8 bits. A clear sky has below 1, a lawn 10 and more.
    """
    gray = convert(band, 1, 8)[:, :, 0].astype(np.int16)
    down, right = np.abs(np.diff(gray, axis=0)), np.abs(np.diff(gray, axis=1))
    return [0.5 * float(down[:, left : left + width].mean() + right[:, left : left + width - 1].mean()) for left in lefts]
