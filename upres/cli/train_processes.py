"""The processes of `upres train`: one per GPU or machine, and how Ctrl-C, SIGTERM and SIGHUP end them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from upres.cli.errors import debug_enabled, say
from upres.system import signals

if TYPE_CHECKING:
    from upres.training.config import TrainConfig
    from upres.training.plan import Launch


def is_worker() -> bool:
    import os

    return "TORCHELASTIC_RUN_ID" in os.environ


def launch_workers(out: Path, resume: bool, where: Launch, config: TrainConfig, debug: bool) -> int:
    """Run this command in each process, with torch's launcher; workers always resume from the newest checkpoint.

    Raises `UsageError` if the batch cannot be divided among every number of machines that the run may have.
    """
    import sys
    from dataclasses import replace

    from upres.training.checkpoint import newest_step
    from upres.training.config_changes import check_share
    from upres.training.distributed.launch import INTERRUPTED, launch
    from upres.training.run_folder import refuse_present_run

    for nodes in range(where.min_nodes or where.nodes, where.nodes + 1):
        check_share(replace(config, accumulate=1) if resume else config, nodes * where.processes)
    if not resume:
        refuse_present_run(out)
    elif newest_step(out / "checkpoints") is None:
        say(f"{out} holds no checkpoint to resume from: starting at step 0")

    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    command = [sys.executable, "-m", "upres", *(["--debug"] if debug_enabled() else []), *arguments, "--resume"]
    code = launch(
        command, processes=where.processes, nodes=where.nodes, min_nodes=where.min_nodes, rdzv=where.rdzv,
        progress_of=lambda: newest_step(out / "checkpoints"), say=say, log_folder=out / "logs", debug=debug,
    )  # fmt: skip
    return signals.exit_code() if code == INTERRUPTED else code


@contextmanager
def sole_run(out: Path, first: bool) -> Generator[None]:
    """On the first rank, hold the folder: two runs there would mix their checkpoints. Tell if it is removed meanwhile.

    Raises `UsageError` if another run holds it, `OutputError` if it is gone.
    """
    from upres.errors import OutputError
    from upres.system.lock import only_user

    busy = f"another upres train is running in {out}: wait for it, or choose another --out"
    with only_user(out, busy) if first else nullcontext():
        try:
            yield
        except OSError as error:
            if out.is_dir():
                raise
            raise OutputError(f"{out} was removed while the run wrote to it; start the run again") from error


class Interrupt:
    """Turns the first signal to stop into a request to stop after the current step; a second one stops at once."""

    def __init__(self, talks: bool) -> None:
        self._talks = talks
        self._pressed = False

    def __enter__(self) -> Interrupt:
        import signal

        # The launcher ends its workers with SIGTERM; for a single process it comes from a scheduler or a shutdown:
        # save, then stop.
        self._before = signals.install(self._handle, always=(signal.SIGINT, signal.SIGTERM))
        if is_worker():
            for number in self._before.keys() - {signal.SIGINT}:
                signal.signal(number, signal.SIG_DFL)
        return self

    def __exit__(self, *exit_info: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        signals.remember(number)
        if self._talks:
            say("saving and stopping after this step (Ctrl-C again stops at once, without saving)")

    def pressed(self) -> bool:
        return self._pressed
