"""The progress display of all commands, on stderr: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upres.cli.command import as_options
from upres.cli.errors import say, words_for
from upres.system.text import printable, shown, words_for_estimate

if TYPE_CHECKING:
    from upres.batch.job import Outcome

_EVERY_S = 30.0  # between two log lines
_TRAINING_EVERY_S = 10.0  # between two of a training
Amount = Callable[[float, float | None], str]  # (done, total or None) in words


def counted(things: str) -> Amount:
    """ "3 of 20 pictures"."""
    return lambda done, total: f"{done:,.0f} of {total:,.0f} {things}" if total is not None else f"{done:,.0f} {things}"


class JobProgress:
    """Shows how much of a job is done, and the time left at its average speed so far.

    title: What is being done ("upscaling").
    total: The amount of work; None if unknown.
    amount: Describes the work done.
    estimate_s: Time left until a speed is measured; None shows none.
    log_every_s: Time between two log lines; None writes none.
    kept: Leave the bar on the terminal at the end.
    shown: False shows nothing.
    """

    def __init__(
        self,
        title: str,
        total: float | None,
        amount: Amount,
        *,
        estimate_s: float | None = None,
        log_every_s: float | None = _EVERY_S,
        kept: bool = False,
        shown: bool = True,
    ) -> None:
        self._amount, self._log_every_s = amount, log_every_s
        self._terminal = shown and sys.stderr.isatty()
        self._shown, self._kept, self._bar, self._task = shown, kept, None, None
        self._said = time.monotonic()
        self.begin(title, total, estimate_s)

    def begin(self, title: str, total: float | None, estimate_s: float | None = None) -> None:
        """Start another part of the job."""
        self.title, self.total, self.done, self._before = title, total, 0.0, 0.0
        self._start = time.monotonic()
        self._end = None if estimate_s is None else self._start + estimate_s
        self.draw()

    def starts_at(self, done: float) -> None:
        """What is `done` by now does not count for the speed: it was done before, or at another speed."""
        self.done = self._before = done
        self._start = time.monotonic()

    @property
    def left_s(self) -> float | None:
        """Seconds left, counting down between two updates, which can be far apart. None if unknown."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def update(self, done: float, total: float | None = None) -> None:
        """Set the work done, and the total if it changed."""
        self.done, self.total = done, self.total if total is None else total
        now = time.monotonic()
        if done > self._before and self.total is not None:
            self._end = now + (now - self._start) * (self.total - done) / (done - self._before)
        self.draw()
        if self._log_every_s is None or not self._shown or self._terminal or now - self._said < self._log_every_s:
            return
        if done and (self.total is None or done < self.total):
            self._said = now
            share = "" if self.total is None else f", {100 * done / self.total:.0f} %"
            say(f"{self.title}: {self._amount(done, self.total)}{share}{self._left(', ')}")

    def advance(self, by: float) -> None:
        """Add to the work done."""
        self.update(self.done + by)

    def say(self, words: str) -> None:
        """Print a line above the bar."""
        if self._bar is None:
            say(words)
        else:
            self._bar.console.print(printable(as_options(words)), markup=False, highlight=False, soft_wrap=True)

    def _left(self, before: str) -> str:
        return "" if self.left_s is None else f"{before}about {words_for_estimate(self.left_s)} left"

    def draw(self) -> None:
        """Update the bar; its clock runs by itself."""
        if self._bar is not None:
            values = {"description": self.title, "completed": self.done, "total": self.total}
            self._bar.update(self._task, amount=self._amount(self.done, self.total), **values)

    def __enter__(self) -> JobProgress:
        if self._terminal:
            self._bar, self._task = self._make_bar()
            self._bar.start()
            self.draw()
        return self

    def __exit__(self, *exit_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _make_bar(self) -> tuple[Any, Any]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            ProgressColumn,
            Task,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.text import Text

        job = self

        class Left(ProgressColumn):
            """Replaces rich's own column, which forgets the speed whenever the total changes."""

            def render(self, task: Task) -> Text:
                return Text("" if job.total is not None and job.done >= job.total else job._left(""))  # pyright: ignore[reportPrivateUsage]

        texts = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}"),
        )
        bar = Progress(*texts, TimeElapsedColumn(), Left(), console=Console(stderr=True), transient=not self._kept)
        return bar, bar.add_task(self.title, total=self.total, amount="")


class UpscaleProgress:
    """A `batch.job.Watcher` that shows the output pixels of the whole job, and the pictures if there are several.

    total_pixels: Of all outputs.
    pictures: Number of them.
    estimate_s: Counted down until a speed is measured.
    tell: Called with the outcome of each picture.
    """

    def __init__(
        self,
        total_pixels: int,
        pictures: int,
        estimate_s: float,
        tell: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._pictures, self._ended, self._tell = pictures, 0, tell
        self._job = JobProgress("upscaling", total_pixels, self._amount, estimate_s=estimate_s)

    def _amount(self, done: float, total: float | None) -> str:
        pictures = f"{self._ended} of {self._pictures} pictures, " if self._pictures > 1 else ""
        return f"{pictures}{done / 1e6:,.1f} of {(total or 0) / 1e6:,.1f} MP"

    def retotal(self, pixels_left: float, pictures_left: int) -> None:
        """What is left, from now on: known better than before."""
        self._pictures = self._ended + pictures_left
        self._job.update(self._job.done, self._job.done + pixels_left)

    def advanced(self, pixels: int) -> None:
        self._job.advance(pixels)

    def dropped(self, pixels: int) -> None:
        self._job.update(self._job.done, (self._job.total or 0) - pixels)

    def finished(self, outcome: Outcome) -> None:
        self._ended += 1
        self._job.draw()
        if self._tell is not None:
            self._tell(outcome)

    def __enter__(self) -> UpscaleProgress:
        self._job.__enter__()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self._job.__exit__(*exit_info)


class TrainingProgress:
    """Shows training steps: a bar on a terminal, elsewhere a line every few seconds, and a line at every validation.

    The speed is that since the last line or validation; the time left is that of all steps of this session but the
    first, with its validations and checkpoints.

    steps: Of the whole run.
    talks: Whether anything is shown.
    lr_pixels: Of one step.
    log_every_s: Time between two lines.
    """

    def __init__(self, steps: int, talks: bool, lr_pixels: int = 0, log_every_s: float = _TRAINING_EVERY_S) -> None:
        self._words = self._quality = ""
        self._lr_pixels, self._log_every_s = lr_pixels, log_every_s
        self._started, self._logs = False, talks and not sys.stderr.isatty()
        self._since()
        self._job = JobProgress("training", steps, self._amount, log_every_s=None, kept=True, shown=talks)
        self.say = self._job.say

    def _since(self) -> None:
        """Begin to count again."""
        self._steps, self._data_s, self._step_s, self._began = 0, 0.0, 0.0, time.monotonic()
        self._terms: dict[str, float] = {}

    def _amount(self, done: float, total: float | None) -> str:
        return f"{counted('steps')(done, total)}{self._words}"

    def __enter__(self) -> TrainingProgress:
        self._job.__enter__()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self._job.__exit__(*exit_info)

    def report(self, progress: object) -> None:
        from upres.training.run import Progress

        assert isinstance(progress, Progress)
        self._steps += 1
        self._data_s += progress.data_s
        self._step_s += progress.step_s
        for name, value in progress.losses.items():
            self._terms[name] = self._terms.get(name, 0.0) + value
        if not self._started:
            self._started = True
            self._job.starts_at(progress.step)
        if progress.quality is not None:
            self._quality = f", {progress.quality}"
            self.say(
                f"step {progress.step} of {progress.steps}: {self._losses()}{self._quality}, "
                f"learning rate {progress.learning_rate:.1e}, {self._wait()}"
            )
            self._since()
        elif self._logs and time.monotonic() - self._began >= self._log_every_s and progress.step < progress.steps:
            left = self._job.left_s
            words = "" if left is None else f", about {words_for_estimate(left)} left"
            share = f"{100 * progress.step / progress.steps:.0f} %"
            self.say(
                f"step {progress.step} of {progress.steps} ({share}): {self._speed()}, {self._losses()}, {self._wait()}"
                f"{words}"
            )
            self._since()
        waited = f"data {1e3 * progress.data_s:.0f} of {1e3 * progress.step_s:.0f} ms"
        speed = f", {self._speed()}" if self._steps > 1 else ""
        self._words = f", loss {progress.loss:.4f}{self._quality}{speed}, {waited}"
        self._job.update(progress.step)

    def _losses(self) -> str:
        """The means since the last line."""
        means = {name: value / self._steps for name, value in self._terms.items()}
        terms = ", ".join(f"{name} {value:.4g}" for name, value in means.items() if name != "total")
        return f"loss {means['total']:.5f} ({terms})"

    def _wait(self) -> str:
        return f"{100.0 * self._data_s / max(self._step_s, 1e-9):.1f} % of the time waiting for data"

    def _speed(self) -> str:
        """Of the steps alone, without validations."""
        rate = self._steps / max(self._step_s, 1e-9)
        return f"{rate:.3g} steps/s" + (f", {rate * self._lr_pixels / 1e6:.3g} LR MP/s" if self._lr_pixels else "")


def failure_line(outcome: Outcome) -> str:
    """`NAME: reason` for a failed picture, without repeating a name that the reason begins with."""
    assert outcome.error is not None
    reason = words_for(outcome.error).removeprefix("upres: ")
    name = shown(outcome.name)
    return reason if reason.startswith(name) else f"{name}: {reason}"
