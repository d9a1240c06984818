"""Pictures in, results out: small ones at once, others as jobs that a client names."""

from __future__ import annotations

import socket
import time
import uuid
from pathlib import Path

import httpx
import pytest

from tests.serve.running import Running, running


def new_id() -> str:
    return uuid.uuid4().hex


def raw(server: Running, request: bytes) -> bytes:
    """The answer to these bytes, read until the server closes."""
    host, port = server.url.removeprefix("http://").split(":")
    parts: list[bytes] = []
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_small_picture_is_answered_at_once_and_leaves_nothing(server: Running) -> None:
    answer = server.post({"small": 1}, name="photo.jpg")
    assert (answer.status_code, answer.content) == (200, b'{"small": 1}')
    assert answer.headers["content-type"] == "image/png" and answer.headers["upres-model"] == "compact-x4"
    assert "photo_x4.png" in answer.headers["content-disposition"]
    assert server.client.get("/v1/jobs").json()["jobs"] == []
    store, until = server.service.store, time.monotonic() + 5
    while [*store.pictures.iterdir(), *store.results.iterdir(), *store.incoming.iterdir()]:
        assert time.monotonic() < until


def test_a_client_that_does_not_wait_gets_a_job(server: Running) -> None:
    answer = server.post({"sleep": 0.01}, {"Prefer": "respond-async"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert server.wait(job["id"])["state"] == "done"
    assert server.client.get(job["links"]["result"]).content == b'{"sleep": 0.01}'


def test_what_takes_longer_than_the_client_waits_becomes_a_job(server: Running) -> None:
    answer = server.post({"sleep": 0.4}, {"Prefer": "wait=0.1"})
    assert answer.status_code == 202 and server.wait(answer.json()["id"])["state"] == "done"


def test_what_is_known_to_take_long_is_not_waited_for(server: Running) -> None:
    wish = {"sleep": 0.6, "planned": {"macs": 1e13}}
    begun = time.monotonic()
    answer = server.post(wish, {"Prefer": "wait=100"})
    assert answer.status_code == 202 and time.monotonic() - begun < 0.5
    assert server.client.delete(answer.headers["location"]).json()["state"] == "canceled"


def test_a_form_is_taken_too(server: Running) -> None:
    files = {"picture": ("holiday.png", b"{}", "image/png")}
    answer = server.client.post("/v1/upscale", files=files, data={"scale": "2", "format": "webp"})
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    assert "holiday_x4.webp" in answer.headers["content-disposition"]
    wrong = server.client.post("/v1/upscale", files={"other": ("a.png", b"{}")})
    assert wrong.status_code == 400 and "expected one called picture" in wrong.json()["detail"]


def test_the_same_put_gives_the_same_job(server: Running) -> None:
    name = new_id()
    first, again = server.put(name, {"a": 1}, scale=2), server.put(name, {"a": 1}, scale=2)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["created_at"] == again.json()["created_at"]
    for other in (server.put(name, {"a": 2}, scale=2), server.put(name, {"a": 1}, scale=3)):
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert server.wait(name)["state"] == "done"


def test_a_picture_that_is_here_needs_not_be_sent_again(server: Running) -> None:
    first, second = new_id(), new_id()
    server.put(first, {"once": 1})
    answer = server.client.put(f"/v1/jobs/{second}", params={"source": first, "model": "photo-x4"})
    assert answer.status_code == 201 and server.wait(second)["state"] == "done"
    assert server.client.get(f"/v1/jobs/{second}/source").content == b'{"once": 1}'
    assert server.client.delete(f"/v1/jobs/{first}").status_code == 204  # its picture is still used
    assert server.client.get(f"/v1/jobs/{second}/source").status_code == 200
    digest = server.service.desk.find("", second).picture["sha256"]
    server.client.delete(f"/v1/jobs/{second}")
    assert not server.service.store.picture_path(digest).exists()
    assert server.client.put(f"/v1/jobs/{new_id()}", params={"source": first}).status_code == 404


def test_a_waiting_job_and_a_running_one_are_canceled_at_once(server: Running) -> None:
    runs, waits = new_id(), new_id()
    server.put(runs, {"sleep": 30, "steps": 1000})
    server.put(waits, {"sleep": 30})
    begun = time.monotonic()
    for name in (waits, runs):
        answer = server.client.delete(f"/v1/jobs/{name}")
        assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert server.post({}).status_code == 200  # the worker is free again
    assert time.monotonic() - begun < 5
    assert server.client.get(f"/v1/jobs/{runs}/result").status_code == 409


def test_a_worker_that_does_not_hear_is_killed(server: Running) -> None:
    name, begun = new_id(), time.monotonic()
    server.put(name, {"sleep": 30, "deaf": True})
    kinds = server.events(f"/v1/jobs/{name}/events", most=2)
    assert [kind for _, kind, _ in kinds] == ["queued", "running"]
    server.client.delete(f"/v1/jobs/{name}")
    assert server.post({}).status_code == 200
    assert time.monotonic() - begun < 10


def test_a_full_queue_refuses_at_once(tmp_path: Path) -> None:
    with running(tmp_path, queue=1) as server:
        names = [new_id() for _ in range(2)]
        for name in names:
            assert server.put(name, {"sleep": 20}).status_code == 201
        begun = time.monotonic()
        refused = server.post({})
        assert time.monotonic() - begun < 0.5
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        server.client.delete(f"/v1/jobs/{names[1]}")
        assert server.put(new_id(), {}).status_code == 201
        for name in names:
            server.client.delete(f"/v1/jobs/{name}")


def test_a_client_that_goes_away_takes_its_job_with_it(server: Running) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/upscale", content=b'{"sleep": 20, "steps": 2000}', timeout=0.2, trust_env=False)
    assert server.post({}, {"Prefer": "wait=10"}).status_code == 200


def test_a_client_can_state_how_long_it_waits(server: Running) -> None:
    refused = server.post({"planned": {"macs": 1e13}}, max_wait_s=5)
    assert (refused.status_code, refused.json()["code"]) == (503, "wait_too_long")
    assert refused.json()["seconds"] > 100
    assert server.post({}, max_wait_s=5).status_code == 200
    assert server.post({}, max_wait_s="soon").status_code == 400


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"scale": 0}, "`scale` must be in"),
        ({"scale": "two"}, "scale must be a number"),
        ({"scale": 2, "width": 9}, "exclude each other"),
        ({"formt": "png"}, "did you mean 'format'"),
        ({"format": "bmp"}, "format must be one of png"),
        ({"quality": 101}, "quality"),
        ({"tta": "maybe"}, "tta must be true or false"),
        ({"denoise": 0.5}, "denoise"),
        ({"source": "../../etc"}, "an id has 8 to 64"),
        ({"name": "a\nb"}, "printable"),
    ],
)
def test_a_wrong_parameter_is_named(server: Running, query: dict[str, object], words: str) -> None:
    answer = server.post({}, **query)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request"), answer.text
    assert words in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("model", ["/etc/passwd", "..\\x", "nothing", "compact-x4>./x.pth", "compact-x4:1,other:2"])
def test_only_names_of_models_are_taken(server: Running, model: str) -> None:
    answer = server.post({}, model=model)
    assert (answer.status_code, answer.json()["code"]) == (422, "model")


def test_models_may_be_blended_and_chained(server: Running) -> None:
    assert server.post({}, model="COMPACT-X4:0.5,compact-gan-x4:0.5").status_code == 200


def test_an_empty_body_is_refused(server: Running) -> None:
    assert server.post(b"").json()["detail"].startswith("a picture is expected")


def test_lists_come_in_pages(tmp_path: Path) -> None:
    with running(tmp_path, queue=10) as server:
        names = [new_id() for _ in range(5)]
        for place, name in enumerate(names):
            server.put(name, {"n": place}, group="a" if place % 2 else "b")
        for name in names:
            server.wait(name)
        first = server.client.get("/v1/jobs", params={"limit": 2})
        assert [job["id"] for job in first.json()["jobs"]] == names[:-3:-1]
        rest = server.client.get("/v1/jobs", params={"before": first.json()["next"]}).json()
        assert [job["id"] for job in rest["jobs"]] == names[2::-1] and rest["next"] is None
        assert len(server.client.get("/v1/jobs", params={"group": "a"}).json()["jobs"]) == 2
        assert server.client.get("/v1/jobs", params={"limit": 0}).status_code == 400
        assert server.client.get("/v1/jobs", params={"page": 0}).status_code == 400
        assert int(first.headers["upres-last-event"]) == server.service.store.last_event() > 0


def test_a_body_that_says_it_is_too_large_is_not_read(server: Running) -> None:
    answer = raw(server, b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ") and b"connection: close" in answer.lower()


def test_a_body_that_grows_too_large_is_cut_off(server: Running) -> None:
    def chunks() -> object:
        for _ in range(64):
            yield b"x" * 65536

    try:
        answer = httpx.post(f"{server.url}/v1/upscale", content=chunks(), trust_env=False)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    except httpx.WriteError:  # the server has closed before all was sent
        pass
    assert not [*server.service.store.incoming.iterdir()]


def test_a_slow_upload_gives_its_place_back(tmp_path: Path) -> None:
    with running(tmp_path, queue=0, body_seconds=1.0) as server:
        answer = raw(server, b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nslow")
        assert answer.startswith(b"HTTP/1.1 408 ") and b"body_timeout" in answer
        assert server.post({}).status_code == 200
