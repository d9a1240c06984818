"""The jobs of a batch and their outcomes: what `plan` makes, `run` works on and the command line reports."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from upres.batch.measured import MeasuredJob
from upres.batch.paths import InputFile
from upres.errors import InputError, OutputError, UpresError
from upres.images.io import Header
from upres.system.files import DISK_FULL
from upres.upscaling.choose_model import ModelChoice
from upres.upscaling.output_size import OutputSize
from upres.upscaling.plan import Plan
from upres.upscaling.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to upscale.

    found: The input, as named.
    source: Its file, or its bytes.
    header: Its size and format.
    upscaler: What runs.
    size: The output size wanted.
    plan: Of its tiles and memory.
    target: The file to write; None: the bytes go to `Encoding.sink`.
    format: To write: "png", "jpeg", ...
    notes: For the user, known before the run.
    record: Its settings, for the XMP of the result.
    choice: The model and the reason for it; None if the request names one.
    model_files: SHA-256 of the model's files, by name.
    measured: Measured data, which reads and writes itself; None for a picture.
    frames: Of an animation whose result is one too; 1 for a still.
    """

    found: InputFile
    source: Path | bytes
    header: Header
    upscaler: Upscaler
    size: OutputSize
    plan: Plan
    target: Path | None
    format: str
    notes: tuple[str, ...] = ()
    record: Mapping[str, str] = field(default_factory=dict[str, str])
    choice: ModelChoice | None = None
    model_files: Mapping[str, str] = field(default_factory=dict[str, str])
    measured: MeasuredJob | None = None
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one job.

    name: Of the input.
    target: The file written, or None.
    pixels: Of the output.
    seconds: Time of networks and resizes.
    notes: For the user.
    error: Why it failed; None is success.
    model: What made it.
    source_sha256, result_sha256: Of the files, where a journal is kept.
    """

    name: str
    target: Path | None
    pixels: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: BaseException | None = None
    model: str | None = None
    source_sha256: str | None = None
    result_sha256: str | None = None


@dataclass(slots=True)
class BatchReport:
    """The result of all jobs.

    outcomes: In the order of the jobs.
    interrupted: By Ctrl-C.
    stopped_by: The error after which every later picture would have failed too.
    left: Number of pictures that were not finished.
    abandoned: A thread is still inside an engine's call, and the process must not wait for it.
    """

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    interrupted: bool = False
    stopped_by: UpresError | None = None
    left: int = 0
    abandoned: bool = False

    @property
    def done(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error is None]

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error is not None]


MOST_LISTED = 1000  # failures and notes that a summary keeps


class EngineUsed(NamedTuple):
    """An engine with its version, its device, and the precision of activations."""

    name: str
    device: str
    precision: str


@dataclass(slots=True)
class Summary:
    """What came of a run, however many pictures it had.

    done, failed, left: Numbers of pictures; those left were not finished.
    pixels: Of all results.
    notes: For the user: the first picture of each, and how many there are.
    failures: The first thousand.
    codes: Exit codes of all failures.
    engines: Those that ran.
    only: The outcome and the job of the only picture; None if there are several.
    interrupted, stopped_by, abandoned: As in `BatchReport`.
    """

    done: int = 0
    failed: int = 0
    left: int = 0
    pixels: int = 0
    notes: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    failures: list[Outcome] = field(default_factory=list["Outcome"])
    codes: set[int] = field(default_factory=set[int])
    engines: dict[EngineUsed, None] = field(default_factory=dict["EngineUsed", None])
    only: tuple[Outcome, Job] | None = None
    interrupted: bool = False
    stopped_by: UpresError | None = None
    abandoned: bool = False

    def add(self, jobs: Sequence[Job], report: BatchReport) -> None:
        """Count what came of these jobs."""
        before = self.done
        for outcome in report.done:
            self.count(outcome)
        self.only = (report.done[0], jobs[0]) if not before and len(jobs) == 1 and report.done else None
        self.fail(report.failed)
        self.left += report.left
        for upscaler in {id(job.upscaler): job.upscaler for job in jobs if job.plan.passes}.values():
            for runner in (network.runner for network in upscaler.networks):
                self.engines[EngineUsed(runner.name, runner.device, runner.precision)] = None
        self.interrupted |= report.interrupted
        self.stopped_by = self.stopped_by or report.stopped_by
        self.abandoned |= report.abandoned

    def count(self, outcome: Outcome) -> None:
        """Count a result."""
        self.done += 1
        self.pixels += outcome.pixels
        for note in dict.fromkeys(outcome.notes):
            if note in self.notes or len(self.notes) < MOST_LISTED:
                name, count = self.notes.get(note, (outcome.name, 0))
                self.notes[note] = (name, count + 1)

    def include(self, other: Summary, failures: Sequence[Outcome]) -> None:
        """Add what came of another run; `failures` are its failures."""
        self.fail(failures)
        self.failed += other.failed - len(failures)
        self.done, self.left, self.pixels = self.done + other.done, self.left + other.left, self.pixels + other.pixels
        self.codes |= other.codes
        for note, (name, count) in other.notes.items():
            first, before = self.notes.get(note, (name, 0))
            self.notes[note] = (first, before + count)
        self.engines |= other.engines
        self.interrupted |= other.interrupted
        self.stopped_by = self.stopped_by or other.stopped_by
        self.abandoned |= other.abandoned

    def fail(self, outcomes: Sequence[Outcome]) -> None:
        """Count failures."""
        self.failed += len(outcomes)
        self.codes |= {failure_code(outcome.error) for outcome in outcomes if outcome.error is not None}
        self.failures += outcomes[: max(0, MOST_LISTED - len(self.failures))]
        self.only = None if outcomes else self.only


def failure_code(error: BaseException) -> int:
    """The exit code for a picture that failed: see docs/exit-codes.md."""
    if isinstance(error, UpresError):
        return error.exit_code
    if isinstance(error, MemoryError):
        return InputError.exit_code
    full = isinstance(error, OSError) and error.errno in DISK_FULL | {errno.EROFS, errno.EBADF}
    return OutputError.exit_code if full or isinstance(error, BrokenPipeError) else 1


@dataclass(slots=True)
class Counted:
    """How many files, and the first of them."""

    count: int = 0
    first: Path | None = None

    def add(self, path: Path) -> None:
        self.count += 1
        self.first = self.first or path


@dataclass(slots=True)
class Kept:
    """Results that were there, which a job keeps: a number and one of them, however many there are.

    existing: Made with the requested settings.
    unknown: Those that do not record their settings.
    other: Made with other settings, by the description of the difference.
    """

    existing: Counted = field(default_factory=Counted)
    unknown: Counted = field(default_factory=Counted)
    other: dict[str, Counted] = field(default_factory=dict[str, Counted])

    def add(self, target: Path, difference: str | None) -> None:
        """Count `target`, by `record.kept_words`: "" as requested, None unknown, else the description."""
        if difference is None:
            self.unknown.add(target)
        elif difference:
            self.other.setdefault(difference, Counted()).add(target)
        else:
            self.existing.add(target)

    @property
    def count(self) -> int:
        return self.existing.count + self.unknown.count + sum(one.count for one in self.other.values())


@dataclass(frozen=True, slots=True)
class Encoding:
    """How results are written, and how large inputs may be.

    quality: Of JPEG, WebP and AVIF, 1 to 100; None: as the source's, for a JPEG of a JPEG, else the format's.
    png_level: Compression level of PNG, 0 to 9.
    target_kb: Most kilobytes (1,000 bytes) of a result: the highest quality that gives it.
    chroma: Of a JPEG, "444" or "420"; None: as the source's.
    max_pixels_in: Limit on the pixels of an input.
    provenance: Say in the XMP of results what they are and what made them.
    sidecar: Say it in a file beside each result too.
    c2pa: Sign results: "CERTIFICATES,KEY" or "CERTIFICATES,KEY,URL" (`batch.c2pa_signing`).
    invented: A file or a folder for maps of what the pictures do not vouch for (`batch.invented_maps`).
    sink: Receives the bytes of the only result, if its target is None.
    """

    quality: int | None = None
    png_level: int | None = None
    target_kb: int | None = None
    chroma: str | None = None
    max_pixels_in: int = 1_000_000_000
    provenance: bool = True
    sidecar: bool = False
    c2pa: str | None = None
    invented: str | None = None
    sink: Callable[[bytes], None] | None = None

    @property
    def asked_quality(self) -> int | None:
        """`quality`, or the worst that `target_kb` may take; None: nothing was asked."""
        return 1 if self.quality is None and self.target_kb is not None else self.quality


class Watcher(Protocol):
    """Receives the progress of a run, from one thread at a time."""

    def advanced(self, pixels: int) -> None:
        """`pixels` more output pixels are done."""
        ...

    def dropped(self, pixels: int) -> None:
        """A picture failed: the total shrinks by `pixels` output pixels."""
        ...

    def finished(self, outcome: Outcome) -> None:
        """A picture is written, or has failed."""
        ...
