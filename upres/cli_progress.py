"""What a person sees while pictures are upscaled: a bar on a terminal, a line now and then elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol

from upres.batch import Outcome
from upres.cli_errors import say, words_for

_EVERY_S = 30.0  # between two lines of a log


def words_for_seconds(seconds: float) -> str:
    """A measured duration as one says it: `"0.4 s"`, `"25 s"`, `"3 min 20 s"`, `"2 h 5 min"`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def words_for_estimate(seconds: float) -> str:
    """A guessed duration, no finer than it can be known: `"35 s"`, `"2 min"`, `"1 h 20 min"`."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return words_for_seconds(600 * round(seconds / 600)).removesuffix(" 0 min")


class Display(Protocol):
    """A `batch.Watcher` that is also a context: opened when the job starts, closed when it ends, however it ends."""

    def advanced(self, pixels: int) -> None: ...
    def dropped(self, pixels: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def __enter__(self) -> Display: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def make_display(total_pixels: int, pictures: int) -> Display:
    """The bar if stderr is a terminal, the log otherwise."""
    return _Bar(total_pixels, pictures) if sys.stderr.isatty() else _Log(total_pixels, pictures)


class _Log:
    """For files and pipes: every half minute, how far the job is."""

    def __init__(self, total_pixels: int, pictures: int) -> None:
        self._total, self._pictures = total_pixels, pictures
        self._done, self._ended = 0, 0
        self._start = self._said = time.monotonic()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def advanced(self, pixels: int) -> None:
        self._done += pixels
        now = time.monotonic()
        if now - self._said >= _EVERY_S and 0 < self._done < self._total:
            self._said = now
            left = (now - self._start) * (self._total - self._done) / self._done
            counted = f"{self._ended} of {self._pictures} pictures, " if self._pictures > 1 else ""
            say(f"{counted}{100 * self._done / self._total:.0f} % of {self._total / 1e6:,.1f} MP, about {words_for_estimate(left)} left")

    def dropped(self, pixels: int) -> None:
        self._total -= pixels

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1


class _Bar:
    """For people: pictures, output megapixels of the whole job, and the time left at the speed measured so far."""

    def __init__(self, total_pixels: int, pictures: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._total, self._pictures, self._ended, self._done = total_pixels, pictures, 0, 0
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[counted]}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            speed_estimate_period=600.0,
        )
        self._task = self._bar.add_task("upscaling", total=total_pixels, counted=self._counted(), amount=self._amount())

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def advanced(self, pixels: int) -> None:
        self._done += pixels
        self._bar.update(self._task, advance=pixels, amount=self._amount())

    def dropped(self, pixels: int) -> None:
        self._total -= pixels
        self._bar.update(self._task, total=self._total, amount=self._amount())

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1
        self._bar.update(self._task, counted=self._counted())

    def _counted(self) -> str:
        return f"{self._ended}/{self._pictures} pictures" if self._pictures > 1 else "upscaling"

    def _amount(self) -> str:
        return f"{self._done / 1e6:,.1f}/{self._total / 1e6:,.1f} MP"


def failure_line(outcome: Outcome) -> str:
    """`NAME: reason` for one picture that failed; the name is not said twice where the reason begins with it."""
    assert outcome.error is not None
    reason = words_for(outcome.error).removeprefix("upres: ")
    return reason if reason.startswith(outcome.name) else f"{outcome.name}: {reason}"
