"""Processes that end well, raise, crash and hang: each has told what it told, and none is left running."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from upres.system import subprocesses
from upres.system.subprocesses import ProcessOutcome, run_all


def outcomes(*programs: str, timeout_s: float = 30.0) -> list[ProcessOutcome]:
    """Each program, in an interpreter of its own, in the order in which they are named."""
    command = [sys.executable, "-S", "-c", "import sys; exec(sys.argv[1])"]  # -S starts quickly
    found = run_all([(program,) for program in programs], command, lambda _: (), at_once=2, timeout_s=timeout_s)
    return sorted(found, key=lambda one: programs.index(one.job[0]))


TELL = 'print(\'upres-child {"step": "ready", "version": "ncnn 1"}\', flush=True); '


def test_processes_tell_what_they_can_before_they_end() -> None:
    well, raised, killed = outcomes(
        f"import os; os.write(1, b'driver chatter\\n'); {TELL}",
        f"{TELL} raise ImportError('libx.so: cannot open shared object file')",
        f"{TELL} import os, signal; print('dying', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.SIGSEGV)",
    )
    for one in (well, raised, killed):
        assert one.all("ready") == [{"step": "ready", "version": "ncnn 1"}]
    assert well.ended_well and not raised.ended_well and not raised.crashed and killed.crashed
    assert raised.reason == "ImportError: libx.so: cannot open shared object file"
    assert (killed.code, killed.reason) == (-signal.SIGSEGV, "dying")


def test_one_that_hangs_is_ended_and_more_jobs_come_from_what_one_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "hanging"
    real = time.monotonic
    # once it has told
    monkeypatch.setattr(subprocesses.time, "monotonic", lambda: real() + (1000.0 if hanging.exists() else 0.0))
    program = f"import sys, time; {TELL} sys.argv[1] == 'hang' and (open({str(hanging)!r}, 'w'), time.sleep(60))"
    names: list[str] = []
    first, hung = run_all(
        [("first",)],
        [sys.executable, "-S", "-c", program],
        lambda one: [("hang",)] if one.job == ("first",) else [],
        at_once=1,
        timeout_s=500.0,
        tell=names.append,
    )
    assert names == ["first", "hang"]
    assert first.ended_well and hung.timed_out and not hung.crashed and hung.first("ready") is not None


def test_nothing_is_left_running_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(*arguments, **options))
        return started[-1]

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    real = subprocess.Popen
    monkeypatch.setattr(subprocesses.subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
        run_all([("job",)], sleeper, lambda _: (), at_once=1, timeout_s=60.0, tell=interrupt)
    assert [one.returncode for one in started] == [-signal.SIGKILL]
