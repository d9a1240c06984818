"""Servers for benchmarks: `upres serve` in a process of its own, with the real worker or the one that does nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

NOOP = Path(__file__).with_name("serve_noop_worker.py")
_START = """
import sys
sys.path.insert(0, sys.argv[1])
from upres.serve.load_settings import load_settings
from upres.serve.run import begin_log, make_server
settings = load_settings({"data": sys.argv[2], "port": sys.argv[3]}, {}, None)
from dataclasses import replace
settings = replace(settings, queue=int(sys.argv[4]), workers=int(sys.argv[5]), keep_hours=1.0)
command = None if sys.argv[6] == "-" else (lambda: [sys.executable, "-S", "-E", *sys.argv[6:]])
server, sockets = make_server(settings, command=command, ready=lambda url: print(url, flush=True))
server.run(sockets)
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]
    seconds_to_listen: float
    seconds_to_ready: float

    def pids(self) -> list[int]:
        """Of the server and its workers (Linux)."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def bytes_of(pids: list[int]) -> int:
    """Private and shared memory of processes, each shared page counted by its share (Linux)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
    return total


def start(
    data: Path, *worker: str, queue: int = 16, workers: int = 1, port: int = 0, log: Path | None = None
) -> Server:
    """A server; without `worker` it has the real one."""
    root = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-c", _START, root, str(data), str(port), str(queue), str(workers), *(worker or ("-",))]
    environment = os.environ | ({} if log is None else {"NOOP_LOG": str(log)})
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    listens = time.perf_counter() - begun
    with httpx.Client(base_url=url, trust_env=False) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.005)
    return Server(url, process, listens, time.perf_counter() - begun)


@contextmanager
def serving(data: Path, *worker: str, queue: int = 16, workers: int = 1, log: Path | None = None) -> Iterator[Server]:
    """A server that is ended at the end."""
    server = start(data, *worker, queue=queue, workers=workers, log=log)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(30)
