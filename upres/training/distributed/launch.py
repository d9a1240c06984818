"""Several worker processes over torch.distributed's own launcher, started again when one of them is lost.

The launcher (torchrun's agent) starts the workers, gives them their ranks, and ends all of them when one has ended badly. Here is what it
leaves open: which end is worth another start, where the words of the ranks go, and that Ctrl-C means "save, then stop".
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
import dataclasses
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from upres.engines.runner import threads_or_default
from upres.errors import EngineError, UsageError
from upres.system.files import output_error
from upres.training.distributed.ranks import LAUNCHER_PID, RankLost

ATTEMPTS = 3  # this many in a row without a new checkpoint are enough
INTERRUPTED = 130
_SAVE_S = 900  # how long workers may take to save after Ctrl-C before they are killed
_MEETING_S = 900  # how long the first machine waits for the last
_TAIL_LINES = 40


@dataclass(frozen=True)
class End:
    """How an attempt ended: `exit_code` is the run's, or None where another attempt may mend it; `rank` is the one that was the cause."""

    exit_code: int | None
    rank: int = 0
    words: str = ""


def end_of(exit_codes: Mapping[int, int]) -> End:
    """Find the cause among the workers that ended badly; `exit_codes` by rank, negative for a signal, as `subprocess` gives them.

    A code of a worker's own decides: it is an error that another attempt would meet again. A worker that a signal killed, or that only
    lost the others (75), is worth another. SIGTERM is what the launcher ends the others with, so it counts last.
    """
    if not exit_codes:
        return End(0)
    for rank, code in sorted(exit_codes.items()):
        if code > 0 and code != RankLost.exit_code:
            return End(code, rank)
    rank, code = min(exit_codes.items(), key=lambda item: (item[1] == -signal.SIGTERM, item[1] == RankLost.exit_code, item[0]))
    if code == RankLost.exit_code:
        return End(None, rank, f"rank {rank} lost another rank")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (where memory runs out, the system does that)" if -code == signal.SIGKILL else ""
    return End(None, rank, f"rank {rank} was killed by {name}{hint}")


def launch(
    command: Sequence[str],
    *,
    processes: int,
    nodes: int = 1,
    rdzv: str | None = None,
    local_addr: str | None = None,
    progress_of: Callable[[], int | None],
    say: Callable[[str], None],
    log_folder: Path,
    debug: bool = False,
) -> int:
    """Run `command` as `processes` workers on each of `nodes` machines until they are done; returns the exit code of the whole.

    One machine: when a worker was killed, `say` tells it and all start again, to continue from the newest checkpoint, whose step is
    `progress_of()`; `EngineError` after three attempts in a row that brought no new one. A worker's own exit code is returned at once.
    Several machines: the same command runs on each of them, `rdzv` is host:port of one (any free port), `local_addr` the address under
    which the others reach this one where its host name does not do. The launcher itself then starts all again, three times at most,
    whatever the reason was. Which machine becomes rank 0 is decided when they meet, so `log_folder` and all that ranks share must be on a
    disk that all see; a stop has to be asked for on each machine.

    The first SIGINT, SIGTERM or SIGHUP reaches the workers as SIGINT, which means to save and to end with 130; a second kills them. Both
    return 130. Local rank 0 writes to the terminal; what the others write goes to `log_folder` and is shown where it tells the cause.
    Must be called in the main thread, where Python allows signal handlers.
    """
    _refuse_what_cannot_work(processes, nodes, rdzv)
    try:
        log_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(log_folder, error) from error

    def attempts(requests: Sequence[int]) -> int:
        attempt, fruitless, newest = 1, 0, progress_of()
        while True:
            logs = _Logs(log_folder, attempt)
            end = end_of(_run(command, _launch_config(processes, nodes, rdzv, local_addr, logs)))
            if requests and end.exit_code is None:  # the launcher was past its waiting when the signal came
                return INTERRUPTED
            if end.exit_code is not None:
                if end.exit_code != INTERRUPTED:
                    _show(logs, end.rank, say)
                return end.exit_code
            before, newest = newest, progress_of()
            fruitless = 0 if newest is not None and (before is None or newest > before) else fruitless + 1
            if fruitless == ATTEMPTS or nodes > 1:
                _show(logs, end.rank, say)
                done = f"{ATTEMPTS} attempts in a row brought no new checkpoint" if nodes == 1 else f"{ATTEMPTS} restarts were not enough"
                raise EngineError(
                    f"{end.words}, and {done}: see {log_folder}; where memory ran out, ask for fewer --processes or a smaller batch"
                )
            say(f"{end.words}: starting again from {'the beginning' if newest is None else f'step {newest}'}")
            attempt += 1

    try:
        with _signals_as_requests() as requests, _launcher_log(log_folder, debug), _environment(_worker_environment(processes, nodes)):
            return attempts(requests)
    except SignalException:
        return INTERRUPTED


def _refuse_what_cannot_work(processes: int, nodes: int, rdzv: str | None) -> None:
    if processes < 1 or nodes < 1:
        raise UsageError(f"--processes and --nodes must be 1 at least, got {processes} and {nodes}")
    if nodes > 1 and rdzv is None:
        raise UsageError(f"--nodes {nodes} needs --rdzv HOST:PORT, the machine where all meet and a free port of it")
    if rdzv is not None and not rdzv.rpartition(":")[2].isdecimal():
        raise UsageError(f"--rdzv expects HOST:PORT, got {rdzv}")
    if sys.platform == "win32":
        raise UsageError("several processes need Linux or macOS: train without --processes")
    if "shutdown_timeout" not in {field.name for field in dataclasses.fields(LaunchConfig)}:
        raise EngineError(f"several processes need torch 2.12 or newer, found {torch.__version__}: pip install --upgrade torch")


def _launch_config(processes: int, nodes: int, rdzv: str | None, local_addr: str | None, logs: LogsSpecs) -> LaunchConfig:
    return LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=processes,
        run_id="upres",
        rdzv_backend="c10d",
        rdzv_endpoint=rdzv or "127.0.0.1:0",  # port 0: a free one
        rdzv_configs={"join_timeout": _MEETING_S},
        local_addr=local_addr or ("127.0.0.1" if nodes == 1 else None),
        max_restarts=0 if nodes == 1 else ATTEMPTS,
        logs_specs=logs,
        shutdown_timeout=_SAVE_S,
        signals_to_handle="SIGQUIT",  # the others are ours
    )


def _run(command: Sequence[str], config: LaunchConfig) -> dict[int, int]:
    """One attempt; the exit codes of the workers that ended badly, by rank."""
    arguments = [word.replace("$", "$$") for word in command[1:]]  # the launcher expands ${local_rank} in arguments
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)  # the launcher leaves the workers' streams to the collector
        try:
            elastic_launch(config, command[0])(*arguments)
        except ChildFailedError as error:
            return {rank: failure.exitcode for rank, failure in error.failures.items()}
        except (RendezvousError, dist.DistError) as error:
            raise EngineError(
                f"the machines did not meet at {config.rdzv_endpoint} ({type(error).__name__}: {error}): start the same command on all "
                f"{config.min_nodes}, and see that they reach this address and that no firewall stands between"
            ) from error
    return {}


class _Logs(LogsSpecs):
    """Local rank 0 keeps the terminal, with its progress bar; the streams of the others go to files named after attempt and rank."""

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

    def errors_of(self, rank: int) -> Path | None:
        """The file with what `rank` wrote to stderr; None where it was the terminal, or another machine's."""
        return self._errors.get(rank)


def _show(logs: _Logs, rank: int, say: Callable[[str], None]) -> None:
    file = logs.errors_of(rank)
    if file is not None and file.exists():
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]:
            say(f"rank {rank}: {line}")


def _worker_environment(processes: int, nodes: int) -> dict[str, str]:
    """What workers inherit, where the user has not set it: their share of the cores, and on one machine the loopback device for gloo,
    which would otherwise look for the address of the host name and fail where there is none."""
    wanted = {"OMP_NUM_THREADS": str(max(1, threads_or_default(0) // processes))}
    if nodes == 1:
        wanted["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    return {name: value for name, value in wanted.items() if name not in os.environ} | {LAUNCHER_PID: str(os.getpid())}


@contextmanager
def _environment(values: Mapping[str, str]) -> Generator[None, None, None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():  # the launcher leaves some of its own
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _signals_as_requests() -> Generator[list[int], None, None]:
    """Turn the signals that ask for an end into the launcher's exception, which passes SIGINT on to all workers and waits for them.

    A second one interrupts that waiting: the launcher then ends them with SIGTERM, and with this process whatever is left. Yields the list
    of the signals that have come.
    """
    requests: list[int] = []

    def handle(number: int, frame: object) -> None:
        requests.append(number)
        raise SignalException("asked to stop", signal.SIGINT)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:  # nohup
            signal.signal(number, handle)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _launcher_log(folder: Path, debug: bool) -> Generator[None, None, None]:
    """Send what the launcher logs to `launcher.log`; with `debug` it stays on the terminal, where torch puts it."""
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
