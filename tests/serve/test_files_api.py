"""Results and sources: ranges, ETags, names."""

from __future__ import annotations

import uuid

import pytest

from tests.serve.running import Running


@pytest.fixture(scope="module")
def done(server: Running) -> str:
    name = uuid.uuid4().hex
    server.put(name, b'{"text": "0123456789"}', name="Füße %\"'.png")
    server.wait(name)
    return f"/v1/jobs/{name}/result"


def test_parts_can_be_had(server: Running, done: str) -> None:
    part = server.client.get(done, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, b"text")
    assert server.client.get(done, headers={"Range": "bytes=-2"}).content == b'"}'
    beyond = server.client.get(done, headers={"Range": "bytes=900-"})
    assert beyond.status_code == 416
    etag = server.client.get(done).headers["etag"]
    other = server.client.get(done, headers={"Range": "bytes=2-5", "If-Range": '"another"'})
    assert other.status_code == 200
    assert server.client.get(done, headers={"Range": "bytes=2-5", "If-Range": etag}).status_code == 206


def test_what_the_client_has_is_not_sent_again(server: Running, done: str) -> None:
    first = server.client.get(done)
    assert server.client.get(done, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert server.client.get(done, headers={"If-None-Match": '"x", W/' + first.headers["etag"]}).status_code == 304
    assert server.client.get(done, headers={"If-None-Match": '"x"'}).status_code == 200


def test_names_are_safe_in_headers(server: Running, done: str) -> None:
    header = server.client.get(done, params={"download": 1}).headers["content-disposition"]
    assert header == "attachment; filename*=UTF-8''F%C3%BC%C3%9Fe%20%25%22%27_x4.png"
    assert "sandbox" in server.client.get(done).headers["content-security-policy"]


def test_the_source_is_what_was_sent(server: Running, done: str) -> None:
    answer = server.client.get(done.replace("result", "source"))
    assert answer.content == b'{"text": "0123456789"}' and answer.headers["content-type"] == "image/png"


def test_a_result_that_is_not_ready_and_one_that_is_gone(server: Running) -> None:
    name = uuid.uuid4().hex
    server.put(name, {"sleep": 30})
    assert server.client.get(f"/v1/jobs/{name}/result").status_code == 409
    server.client.delete(f"/v1/jobs/{name}")
    gone = uuid.uuid4().hex
    server.put(gone, {})
    server.wait(gone)
    server.service.desk.result_path(server.service.desk.find("", gone)).unlink()
    answer = server.client.get(f"/v1/jobs/{gone}/result")
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")
