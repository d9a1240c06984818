"""Around every request: ids, traces, headers, figures, the log."""

from __future__ import annotations

import json
import logging
import re
import time

import pytest

from tests.serve.running import Running
from upres.serve.middleware import POLICY
from upres.serve.run import LogLines, LogText

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_has_an_id(server: Running) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", server.client.get("/healthz").headers["x-request-id"])
    named = server.client.get("/v1/jobs/none-such", headers={"X-Request-ID": "mine.1"})
    assert named.headers["x-request-id"] == named.json()["request_id"] == "mine.1"
    assert server.client.get("/healthz", headers={"X-Request-ID": 'a"b'}).headers["x-request-id"] != 'a"b'


def test_a_trace_is_passed_on_with_a_span_of_ours(server: Running) -> None:
    answer = server.client.post("/v1/upscale", content=b"{}", headers={"traceparent": TRACE, "Prefer": "respond-async"})
    told = answer.headers["traceparent"]
    assert told.split("-")[1] == TRACE.split("-")[1] and told.split("-")[2] != TRACE.split("-")[2]
    assert server.service.desk.find("", answer.json()["id"]).trace == told
    for wrong in ("", "00-0", TRACE.replace("0af7", "0AF7"), f"00-{'0' * 32}-{'1' * 16}-01"):
        assert "traceparent" not in server.client.get("/healthz", headers={"traceparent": wrong}).headers


def test_headers_of_safety(server: Running) -> None:
    for path in ("/docs", "/v1/jobs", "/none"):
        headers = server.client.get(path).headers
        assert headers["content-security-policy"] == POLICY and headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/none", 404, "not_found"),
        ("POST", "/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/v1/upscale", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/short", 400, "bad_request"),
        ("GET", "/v1/jobs/long-enough", 404, "not_found"),
    ],
)
def test_every_refusal_is_a_problem(server: Running, method: str, path: str, status: int, code: str) -> None:
    answer = server.client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code and answer.json()["status"] == status
    assert ("allow" in answer.headers) == (status == 405)


def test_a_bug_is_told_without_its_text(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret /path")

    monkeypatch.setattr(server.service.desk, "all_of", broken)
    answer = server.client.get("/v1/jobs")
    assert (answer.status_code, answer.json()["code"]) == (500, "bug")
    assert "secret" not in answer.text


def test_figures(server: Running) -> None:
    server.post({})
    wanted = {
        'upres_requests_total{method="POST",route="/v1/upscale",status="200"}',
        'upres_run_seconds_count{model="compact-x4"}',
        'upres_queue_seconds_bucket{le="0.01",model="compact-x4"}',
        'upres_jobs_ended_total{state="done"}',
        "upres_queue_length 0.0",
    }
    until = time.monotonic() + 5
    while missing := {line for line in wanted if line not in (text := server.client.get("/metrics").text)}:
        assert time.monotonic() < until, missing  # a request is counted once its answer has gone out
    assert 'route="/none"' not in text  # paths of strangers make no figures


def test_the_log_tells_each_request(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "upres.serve.requests"):
        server.client.get("/v1/limits", headers={"X-Request-ID": "logged", "traceparent": TRACE})
        for _ in range(500):  # the line is written after the answer
            if any("logged" in one.getMessage() for one in caplog.records):
                break
            time.sleep(0.01)
    record = next(one for one in caplog.records if "logged" in one.getMessage())
    told = json.loads(LogLines().format(record))
    expected = {"method": "GET", "path": "/v1/limits", "status": 200, "request_id": "logged", "level": "info"}
    assert told | expected == told and told["trace_id"] == TRACE.split("-")[1]
    assert "GET /v1/limits 200" in LogText().format(record)
    plain = logging.LogRecord("x", logging.ERROR, "", 0, "a %s", ("b",), None)
    assert json.loads(LogLines().format(plain))["message"] == "a b" and LogText().format(plain).endswith(" a b")
