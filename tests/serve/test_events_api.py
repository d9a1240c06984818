"""Events: told in order, replayed after a number, ended with the job."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import httpx

from tests.serve.running import Running, running


def new_id() -> str:
    return uuid.uuid4().hex


def test_the_stream_of_a_job_ends_with_it_and_is_replayed(server: Running) -> None:
    name = new_id()
    server.put(name, {"sleep": 0.1, "steps": 3})
    events = server.events(f"/v1/jobs/{name}/events")
    numbers = [number for number, _, _ in events if number is not None]
    assert numbers == sorted(numbers) and [kind for _, kind, _ in events][-1] == "done"
    assert all(number is None for number, kind, _ in events if kind == "progress")
    again = server.events(f"/v1/jobs/{name}/events")
    assert [kind for _, kind, _ in again] == ["queued", "running", "done"]
    rest = server.events(f"/v1/jobs/{name}/events", headers={"Last-Event-ID": str(numbers[0])})
    assert [number for number, _, _ in rest] == numbers[1:]
    over = server.client.get(f"/v1/jobs/{name}/events", headers={"Last-Event-ID": str(numbers[-1])})
    assert over.status_code == 204


def test_one_stream_tells_of_all_jobs(server: Running) -> None:
    last = server.client.get("/v1/jobs").headers["upres-last-event"]
    names = [new_id(), new_id()]
    for name in names:
        server.put(name, {"x": name})
    for name in names:
        server.wait(name)
    events = server.events(f"/v1/events?after={last}", most=6)
    assert {record["id"] for _, _, record in events} == set(names)
    assert sorted(kind for _, kind, _ in events) == ["done", "done", "queued", "queued", "running", "running"]
    server.client.delete(f"/v1/jobs/{names[0]}")
    number = events[-1][0]
    assert server.events(f"/v1/events?after={number}", most=1)[0][1:] == ("removed", {"id": names[0]})


def test_a_listener_hears_what_happens_after_it_came(server: Running) -> None:
    heard: list[str] = []
    name, connected = new_id(), threading.Event()

    def listen() -> None:
        with httpx.stream("GET", f"{server.url}/v1/events", timeout=30, trust_env=False) as response:
            for line in response.iter_lines():
                connected.set()
                if line.startswith("event: ") and line != "event: progress":
                    heard.append(line.removeprefix("event: "))
                if heard and heard[-1] == "done":
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    assert connected.wait(10)
    server.put(name, {})
    thread.join(10)
    assert heard == ["queued", "running", "done"]


def test_a_wrong_number_is_refused(server: Running) -> None:
    assert server.client.get("/v1/events", headers={"Last-Event-ID": "x"}).status_code == 400
    assert server.client.get(f"/v1/jobs/{new_id()}/events").status_code == 404


def test_streams_end_with_the_server(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        lines: list[str] = []
        connected = threading.Event()

        def listen() -> None:
            with httpx.stream("GET", f"{server.url}/v1/events", timeout=30, trust_env=False) as response:
                for line in response.iter_lines():
                    lines.append(line)
                    connected.set()

        thread = threading.Thread(target=listen)
        thread.start()
        assert connected.wait(10)
        server.server.stop()
        thread.join(10)
        assert not thread.is_alive()
