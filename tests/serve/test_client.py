"""The client: submits, follows over restarts, fetches; errors are those of the library."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from tests.serve.running import Running, running
from upres.errors import InputError, ModelError, OutOfMemoryError, OutputError, UsageError
from upres.serve.client import Client


def test_a_picture_is_upscaled(server: Running, tmp_path: Path) -> None:
    seen: list[str] = []
    with Client(server.url) as client:
        data = client.upscale(b'{"sleep": 0.1}', scale=2, tta=True, progress=lambda job: seen.append(job["state"]))
        assert data == b'{"sleep": 0.1}' and seen[-1] == "done"
        job = client.submit(b"{}", id=uuid.uuid4().hex, name="a.png")
        assert list(client.follow(job["id"]))[-1]["state"] == "done"
        client.save(job["id"], tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes() == b"{}"
        assert client.job(job["id"])["result"]["bytes"] == 2
        client.cancel(job["id"])
        with pytest.raises(Exception, match="no such job"):
            client.job(job["id"])
        assert client.limits()["queue"] == 4 and client.models()
        assert client.estimate(b"{}", scale=2)["width"] == 40


def test_errors_are_those_of_the_library(server: Running) -> None:
    with Client(server.url) as client:
        for kind, code in ((InputError, "picture"), (OutOfMemoryError, "out_of_memory")):
            job = client.submit(b'{"problem": {"code": "%s", "detail": "so it is"}}' % code.encode())
            list(client.follow(job["id"]))
            with pytest.raises(kind, match="so it is"):
                client.result(job["id"])
        with pytest.raises(ModelError):
            client.submit(b"{}", model="none")
        with pytest.raises(UsageError, match="scale"):
            client.submit(b"{}", scale=-1)
    with pytest.raises(UsageError, match="must begin with http"):
        Client("gpu-box:8321")


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be reached"):
        Client("http://127.0.0.1:9", patience_s=0.0).limits()


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, queue=0) as server, Client(server.url, patience_s=30) as client:
        first = client.submit(b'{"sleep": 0.3}')
        second = client.submit(b'{"n": 2}')  # refused, and sent again after a second
        assert list(client.follow(second["id"]))[-1]["state"] == "done"
        assert client.job(first["id"])["state"] == "done"
        client.submit(b'{"sleep": 20}')
        with Client(server.url, patience_s=0.0) as hasty, pytest.raises(Exception, match="queue is full"):
            hasty.submit(b"{}")
        for job in server.client.get("/v1/jobs").json()["jobs"]:
            server.client.delete(f"/v1/jobs/{job['id']}")


def test_following_goes_on_after_a_restart(tmp_path: Path) -> None:
    port = _free_port()
    states: list[tuple[str, int]] = []
    with running(tmp_path, port=port, drain_seconds=0.0) as server:
        client = Client(f"http://127.0.0.1:{port}", patience_s=30)
        job = client.submit(b'{"sleep": 0.6}')
        thread = threading.Thread(
            target=lambda: states.extend((one["state"], one["attempt"]) for one in client.follow(job["id"]))
        )
        thread.start()
        server.events(f"/v1/jobs/{job['id']}/events", most=2)
    with running(tmp_path, port=port):
        thread.join(30)
        assert client.result(job["id"]) == b'{"sleep": 0.6}'
    assert states[-1] == ("done", 2) and ("running", 1) in states
    client.close()


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
