"""kill_serve.py [--kills N] [--seed N]: SIGKILL the server or a worker at random moments while clients submit jobs.

Each client submits jobs under its own ids, sends a request again when its connection breaks, and follows its jobs. At
the end every accepted job must be done, with the result of its own picture, and no client may have seen a job end
twice. Prints what happened; exit code 1 if a job was lost or done twice to its client.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent))
from serving import NOOP, Server, start

WORK_S = 0.05


class Client(threading.Thread):
    """Submits jobs until told to stop, then waits for all of them."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._url, self._halt = url, stop
        self.accepted: dict[str, bytes] = {}
        self.ends: Counter[tuple[str, int]] = Counter()  # by job and number of the event
        self.wrong: list[str] = []

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=10, trust_env=False) as http:
            while not self._halt.is_set():
                name, data = uuid.uuid4().hex, os.urandom(2000)
                if self._until(lambda: http.put(f"/v1/jobs/{name}", content=data)).status_code == 429:  # noqa: B023
                    time.sleep(0.05)
                    continue
                self.accepted[name] = data
            for name, data in self.accepted.items():
                self._follow(http, name)
                answer = self._until(lambda: http.get(f"/v1/jobs/{name}/result"))  # noqa: B023
                if answer.status_code != 200 or answer.content != data:
                    self.wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")

    def _until(self, call: object) -> httpx.Response:
        """The answer, sent again while the server is away."""
        while True:
            try:
                answer = call()  # type: ignore[operator]
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if answer.status_code != 503:
                return answer
            time.sleep(0.05)

    def _follow(self, http: httpx.Client, name: str) -> None:
        """Until the job has ended, over restarts."""
        last = ["0"]
        while True:
            with suppress(httpx.TransportError):
                if self._listen(http, name, last):
                    return
            time.sleep(0.02)

    def _listen(self, http: httpx.Client, name: str, last: list[str]) -> bool:
        """Read one stream; whether the job has ended."""
        headers = {"Last-Event-ID": last[0]}
        with http.stream("GET", f"/v1/jobs/{name}/events", headers=headers) as response:
            if response.status_code != 200:
                if response.status_code != 204:
                    self.wrong.append(f"{name}: lost ({response.status_code})")
                return True
            for line in response.iter_lines():
                if line.startswith("id: "):
                    last[0] = line.removeprefix("id: ")
                elif line in ("event: done", "event: failed", "event: canceled"):
                    self.ends[name, int(last[0])] += 1
        return False  # the stream is read to its end: another end of the job would show, and 204 follows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with tempfile.TemporaryDirectory() as text:
        data = Path(text)
        servers = [launch(data, port)]
        try:
            clients, killed = storm(servers, data, port, given.kills, given.clients, random.Random(given.seed))
        finally:
            servers[-1].process.terminate()
            servers[-1].process.wait(30)
    accepted = sum(len(client.accepted) for client in clients)
    wrong = [line for client in clients for line in client.wrong]
    ends = Counter(name for client in clients for name, _ in client.ends)
    twice = [name for name, seen in ends.items() if seen > 1]
    print(f"{dict(killed)} killed; {accepted} jobs accepted, {len(wrong)} lost or wrong, {len(twice)} done twice")
    for line in wrong[:20]:
        print(f"  {line}")
    unfinished = sum(client.is_alive() for client in clients)
    if unfinished:
        print(f"  {unfinished} clients still wait")
    return 1 if wrong or twice or unfinished or not accepted else 0


def storm(
    servers: list[Server], data: Path, port: int, kills: int, count: int, draw: random.Random
) -> tuple[list[Client], Counter[str]]:
    """Kill the newest of `servers`, or its worker, again and again under load; then wait for all clients."""
    stop = threading.Event()
    clients = [Client(servers[-1].url, stop) for _ in range(count)]
    for client in clients:
        client.start()
    killed: Counter[str] = Counter()
    for _ in range(kills):
        time.sleep(draw.uniform(0.0, 0.4))
        whom = draw.choice(("server", "worker"))
        killed[whom] += 1
        if whom == "server":
            servers[-1].kill()
            servers.append(launch(data, port))
        elif children := servers[-1].pids()[1:]:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(children), signal.SIGKILL)
    stop.set()
    for client in clients:
        client.join(300)
    return clients, killed


def launch(data: Path, port: int) -> Server:
    return start(data, str(NOOP), str(WORK_S), queue=8, port=port)


if __name__ == "__main__":
    sys.exit(main())
