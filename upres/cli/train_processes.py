"""The processes of `upres train`: one per GPU or machine, and how Ctrl-C ends them."""

from __future__ import annotations

from pathlib import Path

from upres.cli.errors import debug_enabled, say


def is_worker() -> bool:
    import os

    return "TORCHELASTIC_RUN_ID" in os.environ


def launch_workers(out: Path, resume: bool, processes: int, nodes: int, rdzv: str | None, debug: bool) -> int:
    """Run this command in each process, with torch's launcher; workers always resume from the newest checkpoint."""
    import sys

    from upres.training.checkpoint import newest_step
    from upres.training.distributed.launch import launch
    from upres.training.run_folder import refuse_present_run

    if not resume:
        refuse_present_run(out)

    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    command = [sys.executable, "-m", "upres", *(["--debug"] if debug_enabled() else []), *arguments, "--resume"]
    return launch(
        command, processes=processes, nodes=nodes, rdzv=rdzv, progress_of=lambda: newest_step(out / "checkpoints"),
        say=say, log_folder=out / "logs", debug=debug,
    )  # fmt: skip


class Interrupt:
    """Turns the first Ctrl-C into a request to stop after the current step; a second one stops at once."""

    def __init__(self, talks: bool) -> None:
        self._talks = talks
        self._pressed = False

    def __enter__(self) -> Interrupt:
        import signal

        # The launcher ends its workers with SIGTERM; for a single process it comes from a scheduler or a shutdown:
        # save, then stop.
        asked = [signal.SIGINT] if is_worker() else [signal.SIGINT, signal.SIGTERM]
        self._before = {number: signal.signal(number, self._handle) for number in asked}
        return self

    def __exit__(self, *exit_info: object) -> None:
        import signal

        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        if self._talks:
            say("saving and stopping after this step (Ctrl-C again stops at once, without saving)")

    def pressed(self) -> bool:
        return self._pressed
