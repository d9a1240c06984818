"""upres remote: Ctrl-C cancels what it has sent; a server that goes away in the middle costs nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from tests.serve.running import Running, environment, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def begin(url: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "upres", "remote", url, str(folder)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())


def until_running(server: Running) -> str:
    """The id of a job that runs."""
    while True:
        jobs = server.client.get("/v1/jobs?state=running").json()["jobs"]
        if jobs:
            return str(jobs[0]["id"])
        time.sleep(0.02)


def test_ctrl_c_cancels_what_was_sent(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_text(json.dumps({"sleep": 60, "name": name}))
    with running(tmp_path / "data") as server, begin(server.url, folder) as process:
        until_running(server)
        while len(server.client.get("/v1/jobs").json()["jobs"]) < 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        states = {job["state"] for job in server.client.get("/v1/jobs").json()["jobs"]}
    assert (process.returncode, states) == (130, {"canceled"}), told
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


def test_a_server_that_ends_in_the_middle_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_text(json.dumps({"sleep": 1.0}))
    with running(tmp_path / "data", drain_seconds=0.0) as server:
        port = int(server.url.rpartition(":")[2])
        process = begin(server.url, folder)
        until_running(server)
    with running(tmp_path / "data", port=port) as server:
        _, told = process.communicate(timeout=90)
        (job,) = server.client.get("/v1/jobs").json()["jobs"]
    assert process.returncode == 0 and (job["state"], job["attempt"]) == ("done", 2), told
    assert (folder / "a_x4.png").read_text() == (folder / "a.png").read_text()
