"""Several machines start one run."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.training.distributed.test_launch import run, toy  # noqa: E402
from upres.errors import UsageError  # noqa: E402
from upres.training.distributed.launch import launch  # noqa: E402


@pytest.fixture(autouse=True)
def unnamed_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch names the events in its log after their methods, sought among all loaded modules: half a second a launch in
    a test run.
    """
    monkeypatch.setattr(
        "torch.distributed.elastic.rendezvous.dynamic_rendezvous.get_method_name", lambda depth=2: "", raising=False
    )


# Several machines.

OTHER = """
import sys
import threading
import time
from pathlib import Path
from typing import Any
from upres.training.distributed.launch import launch
places = {"processes": 1, "nodes": 2, "rdzv": sys.argv[2], "local_addr": "127.0.0.1"}
print(launch(sys.argv[3:], progress_of=lambda: None, say=print, log_folder=Path(sys.argv[1], "logs"), **places))
"""


@pytest.mark.slow
def test_two_machines_meet_and_the_launcher_starts_all_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # `unnamed_events`: one machine would leave before the other, of which torch writes many lines
    script = """
(folder / f"place{rank}").write_text(os.environ["RANK"] + os.environ["WORLD_SIZE"] + os.environ["LOCAL_RANK"])
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0" and rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
wait_for(lambda: read("starts") == 2)
"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    meeting = f"127.0.0.1:{port}"
    other = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OTHER, str(tmp_path), meeting, *toy(script, tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert run(toy(script, tmp_path), tmp_path, processes=1, nodes=2, rdzv=meeting, local_addr="127.0.0.1") == (
            0,
            [],
        )
        assert other.communicate(timeout=60)[0] == "0\n"
    finally:
        other.kill()
        other.communicate()
    assert [(tmp_path / f"place{rank}").read_text() for rank in range(2)] == ["020", "120"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"processes": 0}, "`processes` and `nodes` must be at least 1, got 0 and 1"),
        ({"processes": 1, "nodes": 2}, "`nodes=2` needs `rdzv`, HOST:PORT"),
        ({"processes": 1, "nodes": 2, "rdzv": "host"}, "`rdzv` must be HOST:PORT, got host"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, arguments: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        launch(["true"], **arguments, progress_of=lambda: None, say=print, log_folder=tmp_path)  # type: ignore[arg-type]


LOST = """
import os, sys
from pathlib import Path
from typing import Any
from upres.training.distributed.launch import launch
places = {"processes": 1, "nodes": 2, "min_nodes": 1, "rdzv": sys.argv[2], "local_addr": "127.0.0.1", "more_s": 5}
launch(sys.argv[3:], progress_of=lambda: None, say=print, log_folder=Path(sys.argv[1], "logs"), **places)
"""


@pytest.mark.slow
def test_a_run_goes_on_without_a_machine_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    script = """
write("size", int(os.environ["WORLD_SIZE"]))
if os.environ["WORLD_SIZE"] == "2":
    (folder / f"here{os.environ['GROUP_RANK']}{rank}").touch()
    wait_for(lambda: (folder / "lost").exists())
    time.sleep(0.5)
    sys.exit(75)  # the other rank is lost
"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    meeting = f"127.0.0.1:{port}"
    ended: list[Any] = []

    def lose() -> None:
        end = time.monotonic() + 120
        while len(list(tmp_path.glob("here*"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        other.kill()
        (tmp_path / "lost").touch()

    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", LOST, str(tmp_path), meeting, *toy(script, tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as other:  # fmt: skip
        thread = threading.Thread(target=lose)
        thread.start()
        places = {"processes": 1, "nodes": 2, "min_nodes": 1, "rdzv": meeting, "local_addr": "127.0.0.1", "more_s": 5}
        ended.append(run(toy(script, tmp_path), tmp_path, **places))
        thread.join()
    assert ended[0] == (0, []) and (tmp_path / "size").read_text() == "1"
