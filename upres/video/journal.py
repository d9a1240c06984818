"""The state of an unfinished video: its settings and its closed segments, in a hidden folder beside the result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from upres.errors import OutputError, UsageError
from upres.system.files import output_error, sweep_partials, write_atomic
from upres.system.lock import FileGuard
from upres.video.reader import Counts, Place
from upres.video.segments import is_whole

_NAME = "job.json"
FORMAT = 1


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A closed segment.

    frames: How many it has.
    pts, digest: Of the last source frame in it.
    sha256: Of its packets.
    bytes: Its size.
    reused: Frames that equal the one before and were not computed.
    """

    frames: int
    pts: int
    digest: str
    sha256: str
    bytes: int
    reused: int = 0


class _Saved(msgspec.Struct, forbid_unknown_fields=True):
    what: str
    format: int
    settings: dict[str, str]
    tilings: list[list[int]]
    segments: list[Closed]
    counts: Counts
    flicker: list[float]


@dataclass(slots=True)
class Journal:
    """The unfinished job of the result `target`.

    folder: With the segments and `job.json`.
    settings: What the pixels of the result depend on, by parameter.
    tilings: Tiles of each pass, as `FrameEnlarger.tilings` gives them: rounding depends on them.
    segments: Closed ones, in order.
    counts: What was met in the source so far.
    flicker: Sums of the flicker metric.
    """

    folder: Path
    settings: dict[str, str]
    tilings: list[list[int]] = field(default_factory=list[list[int]])
    segments: list[Closed] = field(default_factory=list[Closed])
    counts: Counts = field(default_factory=Counts)
    flicker: list[float] = field(default_factory=list[float])
    guard: FileGuard | None = None

    def segment_path(self, number: int) -> Path:
        return self.folder / f"segment-{number:06}.upres"

    @property
    def paths(self) -> list[Path]:
        """Of the closed segments."""
        return [self.segment_path(number) for number in range(len(self.segments))]

    @property
    def frames(self) -> int:
        """In the closed segments."""
        return sum(one.frames for one in self.segments)

    @property
    def place(self) -> Place | None:
        """Where the source goes on; None at its beginning."""
        return Place(self.frames, self.segments[-1].pts, self.segments[-1].digest) if self.segments else None

    def save(self) -> None:
        """Raises `OutputError` if that fails."""
        saved = _Saved(
            "an unfinished video of upres: run the same command again to go on; removed when the video is done",
            FORMAT,
            self.settings,
            self.tilings,
            self.segments,
            self.counts,
            self.flicker,
        )
        text = json.dumps(msgspec.to_builtins(saved), indent=1)
        write_atomic(self.folder / _NAME, text.encode())

    def remove(self) -> None:
        """Call when the result is complete."""
        self.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def release(self) -> None:
        """Let other processes go on."""
        if self.guard is not None:
            self.guard.release()


def folder_of(target: Path) -> Path:
    """Where the unfinished job of `target` lies."""
    return target.with_name(f".{target.name}.upres-video")


def open_journal(target: Path, settings: Mapping[str, str], *, anew: bool) -> Journal:
    """The journal of an unfinished job with these settings, or a new one.

    anew: Forget an unfinished job.

    Raises `UsageError`, naming the differences, for an unfinished job with other settings, and if another process works
    on it; `OutputError` if the folder cannot be written.
    """
    folder = folder_of(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    guard = FileGuard(folder / "lock", f"another process is making {target}; wait for it, or choose another `out`")
    journal = Journal(folder, dict(settings), guard=guard)
    try:
        sweep_partials(folder)
        if anew:
            for path in folder.glob("segment-*.upres"):
                path.unlink()
        else:
            _load(journal)
        journal.save()
    except OSError as error:
        journal.release()
        raise output_error(folder, error) from error
    except (UsageError, OutputError):
        journal.release()
        raise
    return journal


def _load(journal: Journal) -> None:
    """Take over what was saved, up to the first segment that is not whole."""
    try:
        data = (journal.folder / _NAME).read_bytes()
        saved = msgspec.json.decode(data, type=_Saved)
    except (FileNotFoundError, msgspec.MsgspecError):  # none, or cut off before its first segment was closed
        return
    if saved.format > FORMAT:
        raise UsageError(
            f"{journal.folder} was made by a later version of upres; use that one, or `overwrite=True` to start again"
        )
    if saved.settings != journal.settings:
        changes = [
            f"`{name}`: {saved.settings.get(name, 'not set')} before, {journal.settings.get(name, 'not set')} now"
            for name in sorted({*saved.settings, *journal.settings})
            if saved.settings.get(name) != journal.settings.get(name)
        ]
        raise UsageError(
            f"{journal.folder} has an unfinished video with other settings ({'; '.join(changes)}); use the same "
            "settings, choose another `out`, or start again with `overwrite=True`"
        )
    journal.tilings, journal.counts, journal.flicker = saved.tilings, saved.counts, saved.flicker
    for number, one in enumerate(saved.segments):
        if not is_whole(journal.segment_path(number), one.sha256):
            break
        journal.segments.append(one)
