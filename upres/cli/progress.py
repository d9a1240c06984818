"""What a person sees while pictures are upscaled or a network is trained. All of it on stderr.

On a terminal that is a bar, elsewhere a line now and then.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol

from upres.batch.run import Outcome
from upres.cli.command import as_options
from upres.cli.errors import say, words_for

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
    """A `batch.run.Watcher` that is also a context: opened when the job starts, closed when it ends, however it ends."""

    def advanced(self, pixels: int) -> None: ...
    def dropped(self, pixels: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def __enter__(self) -> Display: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


def make_display(total_pixels: int, pictures: int, estimate_s: float) -> Display:
    """The bar if stderr is a terminal, the log otherwise. `estimate_s` is what the bar counts down from until something is measured."""
    kind = _Bar if sys.stderr.isatty() else _Log
    return kind(_Pace(total_pixels, estimate_s), pictures)


class _Pace:
    """Output pixels done, and the time left at the pace of the whole job so far: reading and writing are in it as they are."""

    def __init__(self, total: int, estimate_s: float) -> None:
        self.total, self.done = total, 0
        self._start = time.monotonic()
        self._end = self._start + estimate_s

    def advance(self, pixels: int) -> None:
        self.done += pixels
        self._foresee()

    def drop(self, pixels: int) -> None:
        self.total -= pixels
        self._foresee()

    def _foresee(self) -> None:
        now = time.monotonic()
        if self.done:
            self._end = now + (now - self._start) * (self.total - self.done) / self.done

    @property
    def left_s(self) -> float:
        """Counts down between two signs of progress, which can be far apart, instead of growing until the next."""
        return max(0.0, self._end - time.monotonic())


class _Log:
    """For files and pipes: every half minute, how far the job is."""

    def __init__(self, pace: _Pace, pictures: int) -> None:
        self._pace, self._pictures, self._ended = pace, pictures, 0
        self._said = time.monotonic()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def advanced(self, pixels: int) -> None:
        pace = self._pace
        pace.advance(pixels)
        if time.monotonic() - self._said >= _EVERY_S and 0 < pace.done < pace.total:
            self._said = time.monotonic()
            counted = f"{self._ended} of {self._pictures} pictures, " if self._pictures > 1 else ""
            share = f"{100 * pace.done / pace.total:.0f} % of {pace.total / 1e6:,.1f} MP"
            say(f"{counted}{share}, about {words_for_estimate(pace.left_s)} left")

    def dropped(self, pixels: int) -> None:
        self._pace.drop(pixels)

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1


class _Bar:
    """For people: pictures, output megapixels of the whole job, the time gone and the time left."""

    def __init__(self, pace: _Pace, pictures: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        class Left(ProgressColumn):
            """rich's own column forgets the speed whenever the total changes."""

            def render(self, task: Task) -> Text:
                return Text(f"about {words_for_estimate(pace.left_s)} left" if pace.done < pace.total else "writing")

        self._pace, self._pictures, self._ended = pace, pictures, 0
        self._bar = Progress(
            TextColumn("{task.fields[counted]}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            Left(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("upscaling", total=pace.total, counted=self._counted(), amount=self._amount())

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def advanced(self, pixels: int) -> None:
        self._pace.advance(pixels)
        self._bar.update(self._task, completed=self._pace.done, amount=self._amount())

    def dropped(self, pixels: int) -> None:
        self._pace.drop(pixels)
        self._bar.update(self._task, total=self._pace.total, completed=self._pace.done, amount=self._amount())

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1
        self._bar.update(self._task, counted=self._counted())

    def _counted(self) -> str:
        return f"{self._ended}/{self._pictures} pictures" if self._pictures > 1 else "upscaling"

    def _amount(self) -> str:
        return f"{self._pace.done / 1e6:,.1f}/{self._pace.total / 1e6:,.1f} MP"


class TrainingBar:
    """A progress bar on a terminal, a line at every validation elsewhere; both tell the share of time spent waiting for data."""

    def __init__(self, steps: int, talks: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[words]}"),
            console=self._console,
            disable=not (talks and self._console.is_terminal),
        )
        self._task = self._bar.add_task("training", total=steps, words="")
        self._data_s = self._step_s = 0.0
        self._quality = ""

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self._bar.stop()

    def say(self, words: str) -> None:
        self._console.print(as_options(words), markup=False, highlight=False, soft_wrap=True)

    def report(self, progress: object) -> None:
        from upres.training.loop import Progress

        assert isinstance(progress, Progress)
        self._data_s += progress.data_s
        self._step_s += progress.step_s
        if progress.quality is not None:
            self._quality = f", {progress.quality}"
            share = 100.0 * self._data_s / self._step_s
            terms = ", ".join(f"{name} {value:.4g}" for name, value in progress.losses.items() if name != "total")
            self.say(
                f"step {progress.step} of {progress.steps}: loss {progress.loss:.5f} ({terms}){self._quality}, "
                f"learning rate {progress.learning_rate:.1e}, {share:.1f} % of the time waiting for data"
            )
            self._data_s = self._step_s = 0.0
        words = f"loss {progress.loss:.4f}{self._quality}, data {1e3 * progress.data_s:.0f} of {1e3 * progress.step_s:.0f} ms"
        self._bar.update(self._task, completed=progress.step, words=words)


def failure_line(outcome: Outcome) -> str:
    """`NAME: reason` for one picture that failed; the name is not said twice where the reason begins with it."""
    assert outcome.error is not None
    reason = words_for(outcome.error).removeprefix("upres: ")
    return reason if reason.startswith(outcome.name) else f"{outcome.name}: {reason}"
