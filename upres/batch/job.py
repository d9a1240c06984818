"""The jobs of a batch and their outcomes: what `plan` makes, `run` works on and the command line reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from upres.batch.paths import InputFile
from upres.errors import UpresError
from upres.images.io import Header
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
    """

    name: str
    target: Path | None
    pixels: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: BaseException | None = None


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


@dataclass(frozen=True, slots=True)
class Encoding:
    """How results are written, and how large inputs may be.

    quality: Of JPEG, WebP and AVIF, 1 to 100.
    png_level: Compression level of PNG, 0 to 9.
    max_pixels_in: Limit on the pixels of an input.
    sink: Receives the bytes of the only result, if its target is None.
    """

    quality: int | None = None
    png_level: int | None = None
    max_pixels_in: int = 1_000_000_000
    sink: Callable[[bytes], None] | None = None


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
