"""Accepted jobs survive the end of the server, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests import REPOSITORY
from tests.serve.running import environment, running
from upres.errors import UsageError
from upres.serve.job import Job
from upres.serve.store import Store


@contextmanager
def process(data: Path, *, log: Path | None = None, end: int = signal.SIGTERM) -> Iterator[tuple[httpx.Client, int]]:
    """A server in a process of its own, ended by that signal."""
    command = [sys.executable, "-m", "tests.serve.server_process", str(data), "0"]
    variables = environment() | ({} if log is None else {"FAKE_WORKER_LOG": str(log)})
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=REPOSITORY, env=variables
    )
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield client, child.pid
    finally:
        child.send_signal(end)
        child.wait(30)
        assert child.stdout is not None
        child.stdout.close()


def kinds(client: httpx.Client, name: str, most: int = 99) -> list[str]:
    found: list[str] = []
    with client.stream("GET", f"/v1/jobs/{name}/events") as response:
        for line in response.iter_lines():
            if line.startswith("event: ") and line != "event: progress":
                found.append(line.removeprefix("event: "))
                if len(found) >= most:
                    break
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_jobs_survive_sigkill_with_their_ids(tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    ran, waited = (uuid.uuid4().hex for _ in range(2))
    with process(data, log=log, end=signal.SIGKILL) as (client, _):
        client.put(f"/v1/jobs/{ran}", content=b'{"sleep": 0.3}')
        client.put(f"/v1/jobs/{waited}", content=b'{"n": 1}', params={"name": "b.png"})
        assert kinds(client, ran, most=2) == ["queued", "running"]
    with process(data, log=log) as (client, _):
        assert kinds(client, ran) == ["queued", "running", "retry", "running", "done"]
        assert kinds(client, waited) == ["queued", "running", "done"]
        assert client.get(f"/v1/jobs/{waited}/result").content == b'{"n": 1}'
        assert client.get(f"/v1/jobs/{ran}").json()["attempt"] == 2
    assert log.read_text().split() == [ran, ran, waited]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_sigterm_answers_what_runs_and_keeps_what_waits(tmp_path: Path) -> None:
    data = tmp_path / "data"
    runs, waits = (uuid.uuid4().hex for _ in range(2))
    with process(data) as (client, pid):
        client.put(f"/v1/jobs/{runs}", content=b'{"sleep": 0.5}')
        client.put(f"/v1/jobs/{waits}", content=b"{}")
        assert kinds(client, runs, most=2) == ["queued", "running"]
        os.kill(pid, signal.SIGTERM)
        assert kinds(client, runs)[-1] == "done"
    store = Store(data)
    assert {job.id: job.state for job in store.jobs()} == {runs: "done", waits: "queued"}
    store.close()


def test_a_client_that_waits_while_the_server_stops_gets_its_job(tmp_path: Path) -> None:
    import threading

    answers: list[httpx.Response] = []
    with running(tmp_path) as server:
        name = uuid.uuid4().hex
        server.put(name, {"sleep": 0.5})
        server.events(f"/v1/jobs/{name}/events", most=2)
        url = f"{server.url}/v1/upscale"
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.post(url, content=b"{}", timeout=30, trust_env=False))
        )
        waiting.start()
        while not len(server.service.desk.queue):
            pass
        server.server.stop()
        waiting.join(30)
    (answer,) = answers
    assert answer.status_code == 202
    store = Store(tmp_path)
    assert {job.id: job.state for job in store.jobs()} == {name: "done", answer.json()["id"]: "queued"}
    store.close()


def test_a_stopping_server_refuses_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        name = uuid.uuid4().hex
        server.put(name, {"sleep": 0.6})
        server.events(f"/v1/jobs/{name}/events", most=2)
        server.server.stop()
        while not server.service.desk.draining:
            pass
        refused = server.client.get("/readyz")
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert server.post({}).json()["code"] == "draining"
        assert server.client.get("/healthz").status_code == 200


def test_a_folder_belongs_to_one_server(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(UsageError, match="another server uses"):
        Store(tmp_path)
    store.close()
    Store(tmp_path).close()


def test_a_damaged_list_is_kept_aside(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    store = Store(tmp_path)
    assert store.jobs() == [] and "kept as jobs.sqlite.damaged" in store.note
    store.close()


def test_the_sweep_leaves_what_is_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = Job("abcdefgh", "", {}, {"sha256": "1" * 64, "bytes": 1})
    for name in ("1" * 64, "2" * 64, "3" * 64):
        store.picture_path(name).write_bytes(b"x")
    store.result_path(job).write_bytes(b"x")
    (store.results / "other").write_bytes(b"x")
    store.sweep([job], ["2" * 64], young_s=-1)
    assert {path.name for path in store.pictures.iterdir()} == {"1" * 64, "2" * 64}
    assert [path.name for path in store.results.iterdir()] == [job.key]
    store.close()


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    with running(tmp_path, keep_hours=0.0) as server:
        name = uuid.uuid4().hex
        server.put(name, {})
        server.wait(name)
        server.service.desk.sweep()
        assert server.client.get(f"/v1/jobs/{name}").status_code == 404
        store = server.service.store
        assert not [*store.pictures.iterdir(), *store.results.iterdir()]
