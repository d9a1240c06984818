"""Where the output of the workers and the log of torch's launcher go."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false
import logging
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs

_TAIL_LINES = 40


class WorkerLogs(LogsSpecs):
    """Local rank 0 keeps the terminal, with its progress bar; the others' streams go to files named by attempt and
    rank.
    """

    def __init__(self, folder: Path, attempt: int) -> None:
        super().__init__(log_dir=str(folder))
        self._folder = folder
        self._attempt = attempt
        self._errors: dict[int, Path] = {}

    @property
    def root_log_dir(self) -> str:
        return str(self._folder)

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        out: dict[int, str] = {}
        errors: dict[int, str] = {}
        replies: dict[int, str] = {}
        for local, environment in envs.items():
            rank = int(environment["RANK"])
            attempt = self._attempt + int(environment["TORCHELASTIC_RESTART_COUNT"])
            stem = self._folder / f"attempt-{attempt}-rank-{rank}"
            out[local] = f"{stem}.out" if local else ""
            errors[local] = f"{stem}.err" if local else ""
            replies[local] = os.devnull
            environment["TORCHELASTIC_ERROR_FILE"] = ""
            if local:
                self._errors[rank] = Path(errors[local])
        return LogsDest(stdouts=out, stderrs=errors, error_files=replies)

    def show(self, rank: int, say: Callable[[str], None]) -> None:
        """Say the last lines of the stderr of `rank`; nothing if that was the terminal, or is on another machine."""
        file = self._errors.get(rank)
        if file is not None and file.exists():
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]:
                say(f"rank {rank}: {line}")


@contextmanager
def launcher_log(folder: Path, debug: bool) -> Generator[None, None, None]:
    """Send the launcher's log to `launcher.log`, or with `debug` to the terminal."""
    if debug:
        yield
        return
    logger = logging.getLogger("torch.distributed")
    before, propagated = logger.handlers[:], logger.propagate
    file = logging.FileHandler(folder / "launcher.log", encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.handlers[:], logger.propagate = [file], False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before, propagated
        file.close()
