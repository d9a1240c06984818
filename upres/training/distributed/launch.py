"""Starts worker processes with torch.distributed's launcher, and restarts them when one is lost.

The launcher (torchrun's agent) starts the workers, assigns ranks, and ends all workers when one fails. This module
decides which failures are worth a restart, collects the output of the ranks, and turns Ctrl-C into "save, then stop".
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
import dataclasses
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
from torch.distributed.elastic.multiprocessing import LogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from upres.engines.runner import threads_or_default
from upres.errors import EngineError, UsageError
from upres.system import signals
from upres.system.files import output_error
from upres.training.distributed.logs import WorkerLogs, launcher_log
from upres.training.distributed.ranks import LAUNCHER_PID, RankLost

ATTEMPTS = 3  # give up after this many in a row without a new checkpoint
INTERRUPTED = 130
_ELASTIC_RESTARTS = 20  # of machines that come and go
_SAVE_S = 900  # how long workers may save after Ctrl-C before they are killed
_MEETING_S = 900  # how long the first machine waits for the last


@dataclass(frozen=True)
class End:
    """How an attempt ended.

    exit_code: of the run; None if a restart may help.
    rank: the rank that failed first.
    words: what happened to it.
    """

    exit_code: int | None
    rank: int = 0
    words: str = ""


def end_of(exit_codes: Mapping[int, int]) -> End:
    """Find the cause among the workers that failed; `exit_codes` by rank, negative for a signal, as in `subprocess`.

    A worker's own exit code decides: a restart would meet the same error. Workers killed by a signal, or that only lost
    another rank (75), are worth a restart. SIGTERM is what the launcher ends the others with, so it counts last.
    """
    if not exit_codes:
        return End(0)
    for rank, code in sorted(exit_codes.items()):
        if code > 0 and code != RankLost.exit_code:
            return End(code, rank)
    rank, code = min(
        exit_codes.items(), key=lambda item: (item[1] == -signal.SIGTERM, item[1] == RankLost.exit_code, item[0])
    )
    if code == RankLost.exit_code:
        return End(None, rank, f"rank {rank} lost another rank")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (the system does this when memory runs out)" if -code == signal.SIGKILL else ""
    return End(None, rank, f"rank {rank} was killed by {name}{hint}")


def launch(
    command: Sequence[str],
    *,
    processes: int,
    nodes: int = 1,
    min_nodes: int = 0,
    rdzv: str | None = None,
    local_addr: str | None = None,
    more_s: int = 30,
    progress_of: Callable[[], int | None],
    say: Callable[[str], None],
    log_folder: Path,
    debug: bool = False,
) -> int:
    """Run `command` as `processes` workers on each of `nodes` machines until they are done; returns the exit code of
    the run.

    command: program and arguments of a worker.
    processes: workers on this machine.
    nodes: machines; the same command must run on each.
    min_nodes: if there are as many machines as this, the run begins, or goes on when others are lost; 0: with all only.
    more_s: how long machines wait for more than `min_nodes`.
    rdzv: host:port of one machine, any free port.
    local_addr: address under which the other machines reach this one, if its host name does not work.
    progress_of: the step of the newest checkpoint.
    say: receives messages.
    log_folder: for the output of all ranks but local rank 0, which writes to the terminal.
    debug: whether the launcher logs to the terminal.

    On one machine, when a worker was killed, all are restarted from the newest checkpoint; `EngineError` after three
    attempts in a row without a new one. A worker's own exit code ends the run. On several machines the launcher itself
    restarts all, at most three times and whatever the reason; which machine becomes rank 0 is decided when they meet,
    so `log_folder` and everything the ranks share must be on a shared disk, and each machine must be stopped
    separately. With `min_nodes` machines may come and go: each time all workers are started again, from the newest
    checkpoint. The machine of `rdzv` must stay, for the others meet there.

    The first SIGINT, SIGTERM or SIGHUP reaches the workers as SIGINT: they save and end with 130. A second one kills
    them. Both return 130. Must be called in the main thread, where Python allows signal handlers.
    """
    _refuse_what_cannot_work(processes, nodes, rdzv)
    try:
        log_folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(log_folder, error) from error

    def attempts(requests: Sequence[int]) -> int:
        attempt, fruitless, newest = 1, 0, progress_of()
        while True:
            logs = WorkerLogs(log_folder, attempt)
            end = end_of(
                _run(command, _launch_config(processes, (min_nodes or nodes, nodes), rdzv, local_addr, more_s, logs))
            )
            if requests and end.exit_code is None:  # the signal came when the launcher had stopped waiting
                return INTERRUPTED
            if end.exit_code is not None:
                if end.exit_code != INTERRUPTED:
                    logs.show(end.rank, say)
                return end.exit_code
            before, newest = newest, progress_of()
            fruitless = 0 if newest is not None and (before is None or newest > before) else fruitless + 1
            if fruitless == ATTEMPTS or nodes > 1:
                logs.show(end.rank, say)
                done = (
                    f"{ATTEMPTS} attempts in a row made no new checkpoint"
                    if nodes == 1
                    else f"{_ELASTIC_RESTARTS if min_nodes else ATTEMPTS} restarts did not help"
                )
                raise EngineError(
                    f"{end.words}, and {done}: see {log_folder}; if memory ran out, use fewer `processes` or a smaller "
                    "batch"
                )
            say(f"{end.words}: restarting from {'the beginning' if newest is None else f'step {newest}'}")
            attempt += 1

    try:
        with (
            _signals_as_requests() as requests,
            launcher_log(log_folder, debug),
            _environment(_worker_environment(processes, nodes)),
        ):
            return attempts(requests)
    except SignalException:
        return INTERRUPTED


def _refuse_what_cannot_work(processes: int, nodes: int, rdzv: str | None) -> None:
    if processes < 1 or nodes < 1:
        raise UsageError(f"`processes` and `nodes` must be at least 1, got {processes} and {nodes}")
    if nodes > 1 and rdzv is None:
        raise UsageError(f"`nodes={nodes}` needs `rdzv`, HOST:PORT of one of the machines, with a free port")
    if rdzv is not None and not rdzv.rpartition(":")[2].isdecimal():
        raise UsageError(f"`rdzv` must be HOST:PORT, got {rdzv}")
    if sys.platform == "win32":
        raise UsageError("several processes need Linux or macOS: train with `processes=1`")
    if "shutdown_timeout" not in {field.name for field in dataclasses.fields(LaunchConfig)}:
        raise EngineError(
            f"several processes need torch 2.12 or newer, found {torch.__version__}: pip install --upgrade torch"
        )


def _launch_config(
    processes: int, machines: tuple[int, int], rdzv: str | None, local_addr: str | None, more_s: int, logs: LogsSpecs
) -> LaunchConfig:
    least, nodes = machines
    return LaunchConfig(
        min_nodes=least,
        max_nodes=nodes,
        nproc_per_node=processes,
        run_id="upres",
        rdzv_backend="c10d",
        rdzv_endpoint=rdzv or "127.0.0.1:0",  # port 0: a free one
        rdzv_configs={"join_timeout": _MEETING_S, "last_call_timeout": more_s},
        local_addr=local_addr or ("127.0.0.1" if nodes == 1 else None),
        max_restarts=0 if nodes == 1 else ATTEMPTS if least == nodes else _ELASTIC_RESTARTS,
        logs_specs=logs,
        shutdown_timeout=_SAVE_S,
        signals_to_handle="SIGQUIT",  # this module handles the others
    )


def _run(command: Sequence[str], config: LaunchConfig) -> dict[int, int]:
    """Run one attempt; returns the exit codes of the workers that failed, by rank."""
    arguments = [word.replace("$", "$$") for word in command[1:]]  # the launcher expands ${local_rank} in arguments
    with warnings.catch_warnings():
        # the launcher does not close the workers' streams
        warnings.filterwarnings("ignore", "unclosed file", ResourceWarning)
        try:
            elastic_launch(config, command[0])(*arguments)
        except ChildFailedError as error:
            return {rank: failure.exitcode for rank, failure in error.failures.items()}
        except (RendezvousError, dist.DistError) as error:
            raise EngineError(
                f"the machines did not meet at {config.rdzv_endpoint} ({type(error).__name__}: {error}): start the "
                "same command on all "
                f"{config.min_nodes}, and check that they reach this address and that no firewall blocks it"
            ) from error
    return {}


def _worker_environment(processes: int, nodes: int) -> dict[str, str]:
    """What workers inherit, unless the user has set it: their share of the cores and, on one machine, the loopback
    device for gloo, which would otherwise resolve the host name and fail where that is impossible.
    """
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
        for name in os.environ.keys() - before.keys():  # the launcher adds some
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _signals_as_requests() -> Generator[list[int], None, None]:
    """Turn signals to stop into the launcher's exception, which sends SIGINT to all workers and waits for them.

    A second signal interrupts the wait: the launcher then ends them with SIGTERM, and whatever is left ends with this
    process. Yields the list of the signals received.
    """
    requests: list[int] = []

    def handle(number: int, frame: object) -> None:
        requests.append(number)
        signals.remember(number)
        raise SignalException("asked to stop", signal.SIGINT)

    before = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    }
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or before[number] != signal.SIG_IGN:  # nohup
            signal.signal(number, handle)
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
