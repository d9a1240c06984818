"""Who may ask: tokens, sessions, and pages of others."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.running import Running, running
from upres.serve.access import host_name

ANNA, BERT = "anna-secret-1234567", "bert-secret-1234567"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("data")
    with running(data, tokens=(f"anna:{ANNA}", BERT), queue=3, origins=("https://friend.example",)) as one:
        yield one


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/limits", "/metrics", "/sdapi/v1/upscalers", "/nothing"])
def test_a_token_is_needed(shared: Running, path: str) -> None:
    answer = shared.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert "Bearer" in answer.headers["www-authenticate"]
    assert shared.client.get(path, headers=by("wrong")).status_code == 401


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs", "/openapi.json", "/v1/session"])
def test_some_paths_are_open(shared: Running, path: str) -> None:
    assert shared.client.get(path).status_code in (200, 503)


def test_basic_works_as_clients_of_the_web_ui_send_it(shared: Running) -> None:
    for text, status in ((f"user:{ANNA}", 200), ("user:wrong", 401), ("none", 401)):
        header = {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}
        assert shared.client.get("/v1/limits", headers=header).status_code == status
    assert shared.client.get("/v1/limits", headers={"Authorization": "Basic ***"}).status_code == 401


def test_a_client_sees_its_own_jobs_only(shared: Running) -> None:
    name = uuid.uuid4().hex
    put = shared.client.put(f"/v1/jobs/{name}", content=b'{"a": 1}', headers=by(ANNA))
    assert put.status_code == 201
    for path in ("", "/result", "/source", "/events", "/preview"):
        assert shared.client.get(f"/v1/jobs/{name}{path}", headers=by(BERT)).status_code == 404
    assert shared.client.delete(f"/v1/jobs/{name}", headers=by(BERT)).status_code == 404
    other = shared.client.put(f"/v1/jobs/{name}", content=b'{"b": 1}', headers=by(BERT))
    assert other.status_code == 201  # another job of the same id
    assert shared.client.get("/v1/jobs", headers=by(BERT)).json()["jobs"][0]["picture"]["bytes"] == 8


def test_one_client_cannot_fill_the_queue_for_all(tmp_path: Path) -> None:
    with running(tmp_path, tokens=(f"anna:{ANNA}", BERT), queue=3) as shared:  # 4 places with the one that runs
        statuses = [
            shared.client.put(f"/v1/jobs/{uuid.uuid4()}", content=b'{"sleep": 20}', headers=by(ANNA)).status_code
            for _ in range(4)
        ]
        assert statuses == [201, 201, 429, 429]
        mine = [uuid.uuid4() for _ in range(2)]
        for name in mine:
            put = shared.client.put(f"/v1/jobs/{name}", content=b'{"sleep": 20}', headers=by(BERT))
            assert put.status_code == 201
        for token in (ANNA, BERT):
            for job in shared.client.get("/v1/jobs", headers=by(token)).json()["jobs"]:
                shared.client.delete(f"/v1/jobs/{job['id']}", headers=by(token))


def test_a_session_of_the_page(shared: Running) -> None:
    with httpx.Client(base_url=shared.url, trust_env=False) as page:
        assert page.get("/v1/session").json() == {"authenticated": False, "needs_token": True, "owner": ""}
        assert page.post("/v1/session", headers=by("wrong")).status_code == 401
        opened = page.post("/v1/session", headers=by(ANNA))
        assert opened.status_code == 204
        assert "HttpOnly" in opened.headers["set-cookie"] and "SameSite=strict" in opened.headers["set-cookie"]
        assert page.get("/v1/session").json()["owner"] == "anna"
        assert page.get("/v1/jobs").status_code == 200
        value = page.cookies[shared.service.access.cookie]
        forged = f"{value[:-1]}{'0' if value[-1] != '0' else '1'}"
        for wrong in (forged, "", "a.b.c", ".", value.replace(".", ".x", 1)):
            cookie = {"Cookie": f"{shared.service.access.cookie}={wrong}"}
            assert httpx.get(f"{shared.url}/v1/jobs", headers=cookie, trust_env=False).status_code == 401
        page.delete("/v1/session")
        assert page.get("/v1/jobs").status_code == 401


def test_a_one_time_token_opens_one_session_which_outlives_the_server(tmp_path: Path) -> None:
    with running(tmp_path, once="once-1234567890") as server:
        assert server.client.get("/v1/jobs").status_code == 401
        assert server.client.get("/v1/jobs", headers=by("once-1234567890")).status_code == 401
        opened = server.client.post("/v1/session", headers=by("once-1234567890"))
        assert opened.status_code == 204
        assert httpx.post(f"{server.url}/v1/session", headers=by("once-1234567890"), trust_env=False).status_code == 401
        cookies = dict(server.client.cookies)
    with running(tmp_path, once="another-123456") as server:
        server.client.cookies.update(cookies)
        assert server.client.get("/v1/jobs").status_code == 200


def test_pages_of_others_are_refused(server: Running) -> None:
    own = server.url.removeprefix("http://")
    for origin, status in ((f"http://{own}", 200), ("https://evil.example", 403), ("null", 403)):
        assert server.post({}, {"Origin": origin}).status_code == status
    assert server.client.get("/v1/jobs", headers={"Origin": "https://evil.example"}).status_code == 200  # unread


def test_other_names_of_this_machine_are_refused(server: Running) -> None:
    for name, status in (("evil.example", 421), ("localhost:1", 200), ("[::1]:80", 200), ("127.0.0.1", 200)):
        assert server.client.get("/v1/limits", headers={"Host": name}).status_code == status


def test_a_friendly_page_may_read_answers(shared: Running) -> None:
    asked = {"Origin": "https://friend.example", "Access-Control-Request-Method": "PUT"}
    preflight = shared.client.options("/v1/jobs/abcdefgh", headers=asked)
    assert preflight.headers["access-control-allow-origin"] == "https://friend.example"
    answer = shared.client.post("/v1/upscale", content=b"{}", headers=by(BERT) | {"Origin": "https://friend.example"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://friend.example"


def test_the_name_in_a_host_header() -> None:
    assert [host_name(text) for text in ("A.b:80", "[::1]:9", "x", "", "[::1")] == ["a.b", "::1", "x", "", ""]
