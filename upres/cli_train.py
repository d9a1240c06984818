"""The verb `upres train`: parse, resolve one configuration, call one function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upres.cli_errors import DEBUG_HELP, run_verb, say


def train(
    recipe: Annotated[str, typer.Argument(help="The recipe: compact-x2 or compact-x4.")],
    data: Annotated[Path, typer.Option("--data", help="A folder of HR photographs; folders below it count.")],
    out: Annotated[Path, typer.Option("--out", help="The run's folder: configuration, checkpoints, TensorBoard, the trained model.")],
    validation: Annotated[
        Path | None, typer.Option("--validation", help="A folder of HR pictures to validate on; default: five held out from --data.")
    ] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of the recipe; may be repeated.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option("--init", help="A model file of the recipe's shape to begin with, instead of random weights.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, bit for bit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help=DEBUG_HELP)] = False,
) -> None:
    """Train a network on a folder of photographs."""

    def work() -> int:
        import importlib.util

        from upres.errors import EngineError

        for module in ("torch", "tensorboard"):
            if importlib.util.find_spec(module) is None:
                raise EngineError(f"training needs {module}, which is not installed: pip install 'upres[train]'")
        from upres.training.loop import train as run
        from upres.training.recipes import resolve_recipe

        config = resolve_recipe(recipe, changes or ())
        with _Interrupt() as interrupt, _Bar(config.steps) as bar:
            model = run(
                config, data, out, validation=validation, resume=resume, init=init, report=bar.report, say=bar.say,
                should_stop=interrupt.pressed,
            )
        say(f"trained: {model}")
        return 0

    run_verb(work, debug)


class _Interrupt:
    """Turns the first Ctrl-C into a request to stop after the present step; a second one stops at once."""

    def __enter__(self) -> _Interrupt:
        import signal

        self._pressed = False
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exit_info: object) -> None:
        import signal

        signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        say("stopping after this step (Ctrl-C again stops at once, without saving)")

    def pressed(self) -> bool:
        return self._pressed


class _Bar:
    """A progress bar on a terminal, a line at every validation elsewhere; both tell the share of time spent waiting for data."""

    def __init__(self, steps: int) -> None:
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
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=steps, words="")
        self._data_s = self._step_s = 0.0
        self._quality = ""

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, *exit_info: object) -> None:
        self._bar.stop()

    def say(self, words: str) -> None:
        self._console.print(words, markup=False, highlight=False, soft_wrap=True)

    def report(self, progress: object) -> None:
        from upres.training.loop import Progress

        assert isinstance(progress, Progress)
        self._data_s += progress.data_s
        self._step_s += progress.step_s
        if progress.psnr_y is not None:
            self._quality = f", PSNR (Y) {progress.psnr_y:.2f} dB"
            share = 100.0 * self._data_s / self._step_s
            self.say(
                f"step {progress.step} of {progress.steps}: loss {progress.loss:.5f}{self._quality}, "
                f"learning rate {progress.learning_rate:.1e}, {share:.1f} % of the time waiting for data"
            )
            self._data_s = self._step_s = 0.0
        words = f"loss {progress.loss:.4f}{self._quality}, data {1e3 * progress.data_s:.0f} of {1e3 * progress.step_s:.0f} ms"
        self._bar.update(self._task, completed=progress.step, words=words)
