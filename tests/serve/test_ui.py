"""The server for one person: what it is told, where results go, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

pytest.importorskip("starlette")

from tests.serve.running import fake_command
from upres.errors import OutputError, UsageError
from upres.serve.ui import run_ui, ui_settings


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))


class Started:
    """`run_ui` in a thread; `address` and `link` once it listens."""

    def __init__(self, folder: Path, grace_s: float) -> None:
        self.ready, self.error = threading.Event(), None
        self.thread = threading.Thread(target=self._run, args=(folder, grace_s), daemon=True)
        self.thread.start()

    def _run(self, folder: Path, grace_s: float) -> None:
        run_ui(folder, opened=self._opened, grace_s=grace_s, command=fake_command)

    def _opened(self, address: str, link: str) -> None:
        self.address, self.link = address, link
        self.ready.set()

    @property
    def token(self) -> str:
        assert self.ready.wait(20)
        start = f"{self.address}/#token="
        assert self.link.startswith(start)
        return self.link.removeprefix(start)


@contextmanager
def looking(client: httpx.Client) -> Iterator[None]:
    """As a page that listens to what happens."""
    with client.stream("GET", "/v1/events") as stream:
        lines = stream.iter_lines()  # kept: without it the connection ends
        assert next(lines).startswith("retry")
        yield


def test_it_ends_with_the_page_and_the_work(tmp_path: Path) -> None:
    started = Started(tmp_path / "results", grace_s=0.4)
    token = started.token
    assert len(token) >= 40
    with httpx.Client(base_url=started.address, timeout=20, trust_env=False) as client:
        assert client.get("/v1/jobs").status_code == 401
        assert client.get("/").status_code == 200
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/jobs", headers=bearer).status_code == 401  # it opens a session, and nothing else
        assert client.post("/v1/session", headers=bearer).status_code == 204
        assert client.post("/v1/session", headers=bearer).status_code == 401  # once
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/v1/limits").json()["out"] == str(tmp_path / "results")
        started.thread.join(1.0)
        assert started.thread.is_alive()  # nobody has looked yet: it waits
        with looking(client):
            started.thread.join(1.0)
            assert started.thread.is_alive()
    started.thread.join(20)
    assert not started.thread.is_alive()


def test_it_runs_once(tmp_path: Path) -> None:
    started = Started(tmp_path, grace_s=0.1)
    token = started.token
    with pytest.raises(UsageError, match="runs already"):
        run_ui(tmp_path, opened=lambda *_: None, command=fake_command)
    with httpx.Client(base_url=started.address, timeout=20, trust_env=False) as client:
        client.post("/v1/session", headers={"Authorization": f"Bearer {token}"})
        with looking(client):
            started.thread.join(0.5)
    started.thread.join(20)
    assert not started.thread.is_alive()


def test_a_folder_that_cannot_be_written_is_told_before_anything(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        run_ui(tmp_path / "file" / "below", opened=lambda *_: None)
    assert not (tmp_path / "cache").exists()


def test_limits_are_those_of_a_machine_of_ones_own(tmp_path: Path) -> None:
    settings = ui_settings(tmp_path / "out", tmp_path / "data")
    assert settings.host == "127.0.0.1" and settings.tokens == () and settings.out == str(tmp_path / "out")
    assert settings.max_pixels_in >= 500_000_000 and settings.queue >= 300
