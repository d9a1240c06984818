"""A worker that dies costs an attempt of its job, and nothing else."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.serve.running import Running, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


def new_id() -> str:
    return uuid.uuid4().hex


def test_a_job_whose_worker_is_killed_is_done_by_the_next_attempt(server: Running) -> None:
    name = new_id()
    server.put(name, {"die_first": int(signal.SIGKILL)})
    events = server.events(f"/v1/jobs/{name}/events")
    assert [kind for _, kind, _ in events if kind != "progress"] == ["queued", "running", "retry", "running", "done"]
    assert server.client.get(f"/v1/jobs/{name}").json()["attempt"] == 2


def test_a_job_that_kills_every_worker_is_given_up(server: Running) -> None:
    answer = server.post({"die": int(signal.SIGSEGV)}, {"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["code"]) == (500, "worker_crashed")
    assert "SIGSEGV" in answer.json()["detail"]
    assert server.post({}).status_code == 200


def test_a_job_for_which_the_system_kills_every_worker_was_short_of_memory(server: Running) -> None:
    answer = server.post({"die": int(signal.SIGKILL)}, {"Prefer": "wait=60"})
    assert (answer.status_code, answer.json()["code"]) == (507, "out_of_memory")


def test_a_worker_that_is_killed_while_it_waits_is_replaced_before_the_next_picture(server: Running) -> None:
    server.post({})
    (before,) = server.service.dispatch.pids
    os.kill(before, signal.SIGKILL)
    while server.service.dispatch.pids in ([], [before]):
        time.sleep(0.01)
    name = new_id()
    server.put(name, {})
    assert server.wait(name)["attempt"] == 1


def test_a_failure_has_the_status_of_its_problem(server: Running) -> None:
    problem = {"code": "picture", "detail": "the picture is a damaged PNG", "status": 422}
    answer = server.post({"problem": problem})
    assert (answer.status_code, answer.json()["detail"]) == (422, problem["detail"])
    name = new_id()
    server.put(name, {"problem": problem})
    job = server.wait(name)
    assert (job["state"], job["error"]["code"]) == ("failed", "picture")
    assert server.client.get(f"/v1/jobs/{name}/result").status_code == 422


def test_work_has_a_time_limit(tmp_path: Path) -> None:
    with running(tmp_path, max_seconds=1.0) as server:
        answer = server.post({"sleep": 30})
        assert (answer.status_code, answer.json()["code"]) == (504, "too_slow")
        assert server.post({}).status_code == 200


def test_results_are_copied_to_the_folder_of_the_user(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    with running(tmp_path / "data", out=str(out)) as server:
        for number in range(2):
            name = new_id()
            server.put(name, {"n": number}, name="photo.jpg")
            assert server.wait(name)["result"]["saved_as"]
    assert sorted(path.name for path in out.iterdir()) == ["photo_x4 (2).png", "photo_x4.png"]


def test_several_workers_work_at_once(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as server:
        names = [new_id() for _ in range(2)]
        for name in names:
            server.put(name, {"sleep": 30})
        for name in names:
            assert [kind for _, kind, _ in server.events(f"/v1/jobs/{name}/events", most=2)] == ["queued", "running"]
        for name in names:
            server.client.delete(f"/v1/jobs/{name}")
