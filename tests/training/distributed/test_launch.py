"""The launcher, with toy workers that keep a step in a file: which failures are worth a restart; Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from upres.errors import EngineError  # noqa: E402
from upres.training.distributed.launch import End, end_of, launch  # noqa: E402

if sys.platform == "win32":
    pytest.skip("several processes need Linux or macOS", allow_module_level=True)

# What every toy worker begins with: `step` is its checkpoint, which rank 0 writes; `starts` counts the attempts.
TOY = """
import os, signal, sys, time
from pathlib import Path
folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
def read(name):
    file = folder / name
    return int(file.read_text() or 0) if file.exists() else 0
def write(name, value):
    (folder / f"new{rank}").write_text(str(value))
    (folder / f"new{rank}").rename(folder / name)
def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()
start = read("starts") + 1 if rank == 0 else None
if rank == 0:
    write("starts", start)
"""


@pytest.fixture(autouse=True)
def unnamed_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch names the events in its log after their methods, sought among all loaded modules: half a second a launch in
    a test run.
    """
    monkeypatch.setattr(
        "torch.distributed.elastic.rendezvous.dynamic_rendezvous.get_method_name", lambda depth=2: "", raising=False
    )


def toy(script: str, folder: Path) -> list[str]:
    return [sys.executable, "-S", "-c", TOY + script, str(folder)]


def step_of(folder: Path) -> int | None:
    file = folder / "step"
    return int(file.read_text()) if file.exists() else None


def run(command: list[str], folder: Path, **places: Any) -> tuple[int, list[str]]:
    """Launch workers from this process, two unless told otherwise; the exit code and what was said."""
    said: list[str] = []
    places = {"processes": 2} | places
    code = launch(command, progress_of=lambda: step_of(folder), say=said.append, log_folder=folder / "logs", **places)
    return code, said


# Which end is the cause.


@pytest.mark.parametrize(
    ("exit_codes", "end"),
    [
        ({}, End(0)),
        ({1: 3}, End(3, 1)),
        ({0: -15, 1: 5}, End(5, 1)),
        ({0: 75, 1: 2}, End(2, 1)),
        ({0: 4, 1: 3}, End(4, 0)),
        ({0: -15, 1: 1}, End(1, 1)),
        ({0: 130, 1: -15}, End(130, 0)),
        ({0: 75, 1: -15}, End(None, 0, "rank 0 lost another rank")),
        ({0: -15, 1: -9}, End(None, 1, "rank 1 was killed by SIGKILL (the system does this when memory runs out)")),
        ({0: -15, 1: 75, 2: -11}, End(None, 2, "rank 2 was killed by SIGSEGV")),
        ({0: -15}, End(None, 0, "rank 0 was killed by SIGTERM")),
    ],
)
def test_the_cause_is_found_among_the_exit_codes(exit_codes: dict[int, int], end: End) -> None:
    assert end_of(exit_codes) == end


# One machine.


def test_workers_know_their_place_and_only_local_rank_0_writes_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = dict(os.environ)
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "OMP_NUM_THREADS", "UPRES_LAUNCHER_PID")
    script = f"""
(folder / f"place{{rank}}").write_text(" ".join(os.environ[name] for name in {names}))
print("words of", rank, "${{local_rank}} $$")
print("warnings of", rank, file=sys.stderr)
"""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)]
    assert run(toy(script, tmp_path), tmp_path, processes=3) == (0, [])
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    for rank in range(3):
        assert (
            tmp_path / f"place{rank}"
        ).read_text() == f"{rank} 3 {rank} 127.0.0.1 {max(1, cores // 3)} {os.getpid()}"
    assert capfd.readouterr() == ("words of 0 ${local_rank} $$\n", "warnings of 0\n")
    assert (tmp_path / "logs" / "attempt-1-rank-2.err").read_text() == "warnings of 2\n"
    assert dict(os.environ) == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)] == handlers


def test_what_the_user_set_stays_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    script = "(folder / 'threads').write_text(os.environ['OMP_NUM_THREADS'])"
    assert run(toy(script, tmp_path), tmp_path, processes=1) == (0, [])
    assert (tmp_path / "threads").read_text() == "7"


# Rank 0 takes two steps an attempt; rank 1 is killed as soon as the second is saved, until step 8.
KILLED = """
if rank == 0:
    for _ in range(2):
        write("step", read("step") + 1)
    wait_for(lambda: read("step") >= 8)
else:
    target = read("asked") + 2
    write("asked", target)
    wait_for(lambda: read("step") >= target)
    if target < 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_worker_starts_all_again_as_long_as_there_is_progress(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, said = run(toy(KILLED, tmp_path), tmp_path)
    killed = "rank 1 was killed by SIGKILL (the system does this when memory runs out): restarting from step "
    assert (code, said) == (0, [f"{killed}{step}" for step in (2, 4, 6)])
    assert (tmp_path / "starts").read_text() == "4"
    assert capfd.readouterr() == ("", "")  # the launcher's own words are kept away
    assert "failed (exitcode: -9)" in (tmp_path / "logs" / "launcher.log").read_text()


def test_three_attempts_without_progress_are_enough(tmp_path: Path) -> None:
    script = """
if rank == 0:
    write("ready", start)
    time.sleep(60)
attempt = read("attempt of 1") + 1
write("attempt of 1", attempt)
wait_for(lambda: read("ready") == attempt)
print("no more memory in", attempt, file=sys.stderr)
sys.exit(75)
"""
    (tmp_path / "step").write_text("10")
    said: list[str] = []
    words = "rank 1 lost another rank, and 3 attempts in a row made no new checkpoint: see .*logs; if memory ran out"
    with pytest.raises(EngineError, match=words):
        launch(
            toy(script, tmp_path),
            processes=2,
            progress_of=lambda: step_of(tmp_path),
            say=said.append,
            log_folder=tmp_path / "logs",
        )
    assert said == ["rank 1 lost another rank: restarting from step 10"] * 2 + ["rank 1: no more memory in 3"]
    assert (tmp_path / "starts").read_text() == "3"


@pytest.mark.parametrize(("culprit", "code"), [(0, 3), (1, 5), (1, 1)])
def test_an_exit_code_of_a_workers_own_is_returned_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], culprit: int, code: int
) -> None:
    script = f"""
if rank == {culprit}:
    wait_for(lambda: read("starts") == 1 and (rank == 0 or read("ready")))
    print("upres: no picture in é", file=sys.stderr)
    sys.exit({code})
write("ready", 1)
time.sleep(60)
"""
    assert run(toy(script, tmp_path), tmp_path) == (code, ["rank 1: upres: no picture in é"] if culprit else [])
    assert (tmp_path / "starts").read_text() == "1"
    # once on the terminal, by whichever way
    assert capfd.readouterr().err == ("" if culprit else "upres: no picture in é\n")


@pytest.mark.slow
def test_real_ranks_are_started_again_and_only_the_cause_speaks(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """First rank 1 is killed in the middle of a step, then it meets an error: rank 0, which lost it both times, stays
    silent.
    """
    script = """
import os, signal, sys
from pathlib import Path
from upres.cli.errors import verb_exit_code
from upres.errors import DataError
from upres.training.distributed.ranks import join_ranks

file = Path(sys.argv[1], "step")

def work():
    with join_ranks(timeout_s=60) as ranks:
        first = ranks.gather(int(file.read_text()) if file.exists() else 0)[0]
        for step in range(first, 6):
            if ranks.rank == 1 and step == 3 and first == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if ranks.rank == 1 and step == 5:
                raise DataError("this cannot be read")
            assert ranks.any(ranks.rank == 1)
            if ranks.rank == 0:
                file.write_text(str(step + 1))

sys.exit(verb_exit_code(work))
"""
    code, said = run([sys.executable, "-c", script, str(tmp_path)], tmp_path)
    assert code == 3
    assert said[0].endswith(": restarting from step 3")
    assert said[1:] == ["rank 1: upres: this cannot be read"]
    assert capfd.readouterr() == ("", "")
    assert step_of(tmp_path) == 5
