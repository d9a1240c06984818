"""Requests to stop a run of several processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.training.distributed.test_launch import run, toy  # noqa: E402
from upres.training.distributed.launch import launch  # noqa: E402


@pytest.fixture(autouse=True)
def unnamed_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch names the events in its log after their methods, sought among all loaded modules: half a second a launch in
    a test run.
    """
    monkeypatch.setattr(
        "torch.distributed.elastic.rendezvous.dynamic_rendezvous.get_method_name", lambda depth=2: "", raising=False
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


# Requests to stop.


class Sender(threading.Thread):
    """Sends signals to this process while it launches, each as soon as `ready` is true for its number."""

    def __init__(self, numbers: list[signal.Signals], ready: Callable[[int], bool]) -> None:
        super().__init__()
        self._numbers, self._ready = numbers, ready
        self.start()

    def run(self) -> None:
        for index, number in enumerate(self._numbers):
            wait_for(lambda index=index: self._ready(index))
            os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_to_stop_waits_until_all_have_saved(tmp_path: Path, number: signal.Signals) -> None:
    script = """
asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
(folder / f"ready{rank}").touch()
wait_for(lambda: asked)
if rank == 0:
    time.sleep(1)  # rank 1 has long ended
    (folder / "saved").touch()
sys.exit(130)
"""
    sender = Sender([number], lambda _: all((tmp_path / f"ready{rank}").exists() for rank in range(2)))
    assert run(toy(script, tmp_path), tmp_path) == (130, [])
    sender.join()
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "starts").read_text() == "1"


def test_a_request_between_two_attempts_stops_as_well(tmp_path: Path) -> None:
    def say(words: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    command = toy("os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert launch(command, processes=1, progress_of=lambda: None, say=say, log_folder=tmp_path / "logs") == 130
    assert (tmp_path / "starts").read_text() == "1"


def test_a_second_request_kills(tmp_path: Path) -> None:
    script = """
signal.signal(signal.SIGINT, lambda *_: (folder / f"ready{rank}1").touch())
(folder / f"pid{rank}").write_text(str(os.getpid()))
(folder / f"ready{rank}0").touch()
time.sleep(60)
time.sleep(60)
(folder / "survived").touch()
"""
    begun = time.monotonic()
    sender = Sender(
        [signal.SIGINT] * 2, lambda index: all((tmp_path / f"ready{rank}{index}").exists() for rank in range(2))
    )
    assert run(toy(script, tmp_path), tmp_path) == (130, [])
    sender.join()
    assert time.monotonic() - begun < 60
    assert not any(is_running(int((tmp_path / f"pid{rank}").read_text())) for rank in range(2))
