"""The door of Cog, with payloads as its clients send them."""

from __future__ import annotations

import base64
import uuid

from tests.serve.running import Running

URL = f"data:image/png;base64,{base64.b64encode(b'{}').decode()}"


def test_a_prediction_is_answered(server: Running) -> None:
    answer = server.client.post("/predictions", json={"input": {"image": URL, "scale": 2, "model": "compact-x2"}})
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["output"], told["error"]) == ("succeeded", URL, None)
    assert told["metrics"]["predict_time"] >= 0 and told["completed_at"] >= told["started_at"]


def test_a_prediction_in_the_background(server: Running) -> None:
    name = uuid.uuid4().hex
    begun = server.client.put(f"/predictions/{name}", json={"input": {"img": URL}}, headers={"Prefer": "respond-async"})
    assert begun.status_code == 202 and begun.json()["status"] in ("starting", "processing")
    server.wait(name)
    again = server.client.put(f"/predictions/{name}", json={"input": {"img": URL}}, headers={"Prefer": "respond-async"})
    assert again.json()["status"] == server.client.get(f"/predictions/{name}").json()["status"] == "succeeded"


def test_a_prediction_is_canceled(server: Running) -> None:
    name = uuid.uuid4().hex
    wish = base64.b64encode(b'{"sleep": 30, "steps": 1000}').decode()
    slow = f"data:image/png;base64,{wish}"
    server.client.put(f"/predictions/{name}", json={"input": {"image": slow}}, headers={"Prefer": "respond-async"})
    assert server.client.post(f"/predictions/{name}/cancel").json()["status"] == "canceled"


def test_what_is_not_offered_is_refused(server: Running) -> None:
    for given in (
        {"input": {}},
        {"input": {"image": URL, "face_enhance": True}},
        {"input": {"image": URL, "prompt": "x"}},
        {"input": {"image": URL}, "webhook": "http://x"},
        {},
    ):
        assert server.client.post("/predictions", json=given).status_code == 400, given
    url = server.client.post("/predictions", json={"input": {"image": "https://example.org/a.png"}})
    assert (url.status_code, url.json()["code"]) == (422, "url")
    assert server.client.get("/health-check").json()["status"] == "READY"
