"""How processes find each other, what is refused, and what becomes of those whose others are gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


from upres.errors import UsageError  # noqa: E402
from upres.training.distributed.ranks import RankLost, Ranks, join_ranks  # noqa: E402


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_an_environment_there_is_one_rank(place: pytest.MonkeyPatch) -> None:
    place.setenv("MASTER_ADDR", "somewhere")  # a cluster may set it for everything
    with join_ranks() as ranks:
        assert ranks == Ranks()
    with join_ranks("meta") as ranks:
        assert (ranks.count, ranks.device.type) == (1, "meta")
    assert not torch.distributed.is_initialized()


STORE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("environment", "device", "words"),
    [
        ({"RANK": "0"}, "cpu", "lacks WORLD_SIZE, MASTER_ADDR, MASTER_PORT: use `processes`, or torchrun"),
        (STORE | {"RANK": "2", "WORLD_SIZE": "2"}, "cpu", "RANK is 2 with WORLD_SIZE 2: expected 0 to 1"),
        (STORE | {"RANK": "a", "WORLD_SIZE": "2"}, "cpu", "must be whole numbers"),
        (STORE | {"RANK": "0", "WORLD_SIZE": "2"}, "cuda:1", "got `device=cuda:1`"),
        (STORE | {"RANK": "0", "WORLD_SIZE": "2"}, "cuda", "lacks LOCAL_RANK"),
        (
            STORE | {"RANK": "0", "WORLD_SIZE": "99", "LOCAL_RANK": "98"},
            "cuda",
            r"process 99 of .* \d+ were found: lower `processes`",
        ),
    ],
)
def test_an_environment_that_cannot_work_is_refused(
    place: pytest.MonkeyPatch, environment: dict[str, str], device: str, words: str
) -> None:
    for name, value in environment.items():
        place.setenv(name, value)
    with pytest.raises(UsageError, match=words), join_ranks(device):
        pass


def test_others_that_never_come_are_a_lost_rank_after_the_timeout(place: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }.items():
        place.setenv(name, value)
    with (
        pytest.raises(RankLost, match="another rank was lost while meeting the other ranks"),
        join_ranks(timeout_s=0.5),
    ):
        pass


WORKER = """
import os, sys, time
from pathlib import Path
from upres.training.distributed.ranks import RankLost, join_ranks
os.environ["TORCHELASTIC_RUN_ID"] = "a worker of the launcher"
try:
    with join_ranks():
        pass
except RankLost as error:
    print(error, flush=True)
os.environ["UPRES_LAUNCHER_PID"] = str(os.getppid())
with join_ranks():
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux alone can be asked for this")
def test_a_worker_dies_with_its_launcher_and_does_not_outlive_one_that_is_gone() -> None:
    starter = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    command = [sys.executable, "-c", starter, WORKER]
    with subprocess.Popen(
        command, env=os.environ | {"UPRES_LAUNCHER_PID": "1"}, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == "the launcher (process 1) is gone\n"
            worker = int(parent.stdout.readline())
            assert is_running(worker)
        finally:
            parent.kill()
        end = time.monotonic() + 30
        while is_running(worker) and time.monotonic() < end:
            time.sleep(0.02)
        assert not is_running(worker)


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
