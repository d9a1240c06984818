"""A server for tests: in a thread, on a free port of loopback, with a fake worker unless a test wants the real one."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from upres.serve.run import Server, make_server
from upres.serve.service import Service
from upres.serve.settings import Settings

FAKE = Path(__file__).with_name("fake_worker.py")


def fake_command() -> list[str]:
    return [sys.executable, "-S", "-E", str(FAKE)]


Told = tuple[int | None, str, Any]  # id, kind and record of an event


@dataclass
class Running:
    """A running server and a client of it."""

    url: str
    server: Server
    client: httpx.Client

    @property
    def service(self) -> Service:
        return self.server.config.app.state.service  # type: ignore[union-attr]

    def post(self, wish: dict[str, Any] | bytes, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return self.client.post("/v1/upscale", content=body(wish), params=query, headers=headers)

    def put(self, id: str, wish: dict[str, Any] | bytes, **query: Any) -> httpx.Response:
        return self.client.put(f"/v1/jobs/{id}", content=body(wish), params=query)

    def events(
        self, path: str, headers: dict[str, str] | None = None, most: int = 1000
    ) -> list[tuple[int | None, str, Any]]:
        """(id, kind, record) of a stream until it ends, or of its first `most` events."""
        found: list[Told] = []
        with self.client.stream("GET", path, headers=headers) as response:
            if response.status_code != 200:
                return found
            number, kind = None, ""
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    number = int(value)
                elif name == "event":
                    kind = value
                elif name == "data":
                    found.append((number, kind, json.loads(value)))
                    number = None
                    if len(found) >= most:
                        return found
        return found

    def wait(self, name: str) -> dict[str, Any]:
        """The job once it has ended: its stream ends with it."""
        self.events(f"/v1/jobs/{name}/events")
        return self.client.get(f"/v1/jobs/{name}").json()


def body(wish: dict[str, Any] | bytes) -> bytes:
    return wish if isinstance(wish, bytes) else json.dumps(wish).encode()


@contextmanager
def running(data: Path, *, fake: bool = True, once: str | None = None, **settings: Any) -> Iterator[Running]:
    """A server with these settings; it is stopped, and drained, at the end."""
    ready = threading.Event()
    url: list[str] = []

    def told(address: str) -> None:
        url.append(address)
        ready.set()

    server, sockets = make_server(
        Settings(**{"port": 0, "data": str(data)} | settings),
        one_time_token=once,
        command=fake_command if fake else None,
        ready=told,
    )
    thread = threading.Thread(target=server.run, args=(sockets,))
    thread.start()
    assert ready.wait(20)
    try:
        with httpx.Client(base_url=url[0], timeout=60, trust_env=False) as client:
            yield Running(url[0], server, client)
    finally:
        if thread.is_alive() and not server.config.app.state.service.desk.draining:  # type: ignore[union-attr]
            server.stop()
        thread.join(30)
        assert not thread.is_alive()


def environment() -> dict[str, str]:
    """Of a server in a process of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UPRES_SERVE")}
