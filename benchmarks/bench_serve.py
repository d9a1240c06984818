"""bench_serve.py [--short]: the goals of the server, measured from a second process on loopback.

Prints a line for each: what was measured, the goal, and whether it was met. Exit code 1 if one was not.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from serving import NOOP, Server, bytes_of, serving

BODY = json.dumps({"x": "y" * (64 << 10)}).encode()
_faults = 0


def told(what: str, value: str, goal: str, met: bool) -> None:
    global _faults
    _faults += not met
    print(f"{'ok  ' if met else 'MISS'} {what}: {value} (goal: {goal})", flush=True)


def crowd(server: Server, count: int) -> list[tuple[int, float]]:
    """(status, seconds) of `count` requests sent at the same moment, from a process of its own."""
    program = (
        "import asyncio, httpx, json, sys, time\n"
        "async def one(client):\n"
        "    begun = time.perf_counter()\n"
        "    answer = await client.post('/v1/upscale', content=b'{}', headers={'Prefer': 'wait=60'})\n"
        "    return answer.status_code, time.perf_counter() - begun\n"
        "async def main():\n"
        "    limits = httpx.Limits(max_connections=None)\n"
        "    given = {'limits': limits, 'timeout': 60, 'trust_env': False}\n"
        "    async with httpx.AsyncClient(base_url=sys.argv[1], **given) as client:\n"
        "        print(json.dumps(await asyncio.gather(*(one(client) for _ in range(int(sys.argv[2]))))))\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, server.url, str(count)]
    return [tuple(one) for one in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)]


def measure_throughput(folder: Path, count: int) -> None:
    """Throughput of the server as a share of that of `upres upscale` on the same pictures; results must be equal."""
    import numpy as np

    from upres.images.io import Picture, read_picture, write_picture

    pictures = folder / "in"
    pictures.mkdir(parents=True)
    pixels = np.random.default_rng(0).random((256, 256, 3), dtype=np.float32)
    for place in range(count):
        write_picture(Picture(np.roll(pixels, place, 1)), pictures / f"{place}.png")
    given = ["-n", "compact-x4", "-s", "4"]
    begun = time.perf_counter()
    command = [sys.executable, "-m", "upres", "upscale", str(pictures), "-o", f"{folder}/out", *given]
    subprocess.run(command, check=True, capture_output=True)
    alone = time.perf_counter() - begun
    with serving(folder / "data") as server:
        command = [sys.executable, "-m", "upres", "remote", server.url, str(pictures), "-o", f"{folder}/far", *given]
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        served = time.perf_counter() - begun
    results = sorted((folder / "out").glob("*.png"))
    assert len(results) == count
    for path in results:  # an engine that was measured for the whole job may round otherwise
        here, far = read_picture(path).pixels, read_picture(folder / "far" / path.name).pixels
        assert np.abs(here - far).max() <= 1.5 / 255
    value = f"{alone / served:.2f} ({served:.1f} s and {alone:.1f} s for {count} pictures)"
    told("throughput, of that of upres upscale", value, "0.95", alone / served >= 0.95)


def measure_crowd(folder: Path, count: int) -> None:
    with serving(folder, str(NOOP), "0.05") as server:
        answers = crowd(server, count)
    statuses = Counter(status for status, _ in answers)
    slowest = {status: max(seconds for one, seconds in answers if one == status) for status in statuses}
    told(f"{count} at once, statuses", str(dict(statuses)), "200 and 429 only", set(statuses) <= {200, 429})
    told("slowest 200", f"{slowest.get(200, 0):.2f} s", "1.5 s", 0 < slowest.get(200, 0) <= 1.5)
    told("slowest 429", f"{slowest.get(429, 0):.2f} s", "1.5 s", slowest.get(429, 0) <= 1.5)


def measure_abandoned(folder: Path) -> None:
    async def leave(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=0.3, trust_env=False) as client:
            try:
                await client.post("/v1/upscale", content=b"{}", headers={"Prefer": "wait=60"})
            except httpx.ReadTimeout:
                return

    async def all_leave(url: str) -> None:
        await asyncio.gather(*(leave(url) for _ in range(14)))

    log = folder / "log"
    with serving(folder / "data", str(NOOP), "0.25", log=log) as server:
        asyncio.run(all_leave(server.url))
        httpx.post(f"{server.url}/v1/upscale", content=b"last", timeout=60, trust_env=False)
        ran = len(log.read_text().splitlines()) - 1
    told("abandoned requests that were executed", f"{ran} of 14", "at most 3", ran <= 3)


def measure_latency(folder: Path, count: int) -> None:
    with serving(folder, str(NOOP), "0") as server:
        # The client of the standard library: httpx takes 1.4 ms of a processor for each request.
        client = http.client.HTTPConnection(server.url.removeprefix("http://"))
        times: list[float] = []
        for _ in range(count):
            begun = time.perf_counter()
            client.request("POST", "/v1/upscale", BODY)
            answer = client.getresponse()
            assert (answer.status, len(answer.read())) == (200, len(BODY))
            times.append(time.perf_counter() - begun)
        client.close()
    p50 = 1e3 * statistics.median(times)
    told("no-op of 64 KB, p50", f"{p50:.2f} ms", "2.5 ms", p50 <= 2.5)


def measure_large_body(folder: Path) -> None:
    with serving(folder, str(NOOP), "0") as server:
        idle, most = bytes_of(server.pids()), 0
        answered: list[float] = []
        host, port = server.url.removeprefix("http://").split(":")

        def send() -> None:
            import socket

            with socket.create_connection((host, int(port))) as one:
                begun = time.perf_counter()
                one.sendall(b"POST /v1/upscale HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000000\r\n\r\n")
                one.setblocking(False)
                block, answer = bytes(1 << 20), b""
                while not answer:
                    try:
                        answer = one.recv(100)
                    except BlockingIOError:
                        with suppress(BlockingIOError, ConnectionError):
                            one.send(block)
                assert answer.startswith(b"HTTP/1.1 413"), answer
                answered.append(time.perf_counter() - begun)

        thread = threading.Thread(target=send)
        thread.start()
        while thread.is_alive():
            most = max(most, bytes_of(server.pids()))
        thread.join()
    told("300 MB body refused after", f"{1e3 * answered[0]:.0f} ms", "100 ms", answered[0] <= 0.1)
    told("memory above idle meanwhile", f"{(most - idle) / 1e6:.0f} MB", "60 MB", most - idle <= 60e6)


def measure_estimates(folder: Path) -> None:
    """Ten pictures: what `/v1/estimate` says of each, and the time that its client then waits. A fresh server."""
    from upres.images.io import Picture, encode_picture, read_picture

    photo = read_picture(Path(__file__).resolve().parent.parent / "examples" / "astronaut.png").pixels
    cases = [
        ("compact-x4", 96, "png"), ("compact-x4", 256, "png"), ("compact-x4", 512, "png"), ("compact-x4", 400, "jpeg"),
        ("compact-x2", 512, "png"), ("compact-x2", 300, "webp"), ("photo-x4", 160, "png"), ("photo-x4", 320, "jpeg"),
        (None, 256, "png"), (None, 448, "jpeg"),
    ]  # fmt: skip
    with serving(folder) as server, httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client:
        errors: list[float] = []
        for model, side, form in cases:
            data = encode_picture(Picture(photo[:side, :side].copy()), "png")
            asked = {"format": form, "scale": "2" if model == "compact-x2" else "4"}
            asked |= {} if model is None else {"model": model}
            said = client.post("/v1/estimate", params=asked, content=data).json()
            begun = time.perf_counter()
            answer = client.post("/v1/upscale", params=asked, content=data, headers={"Prefer": "wait=120"})
            took = time.perf_counter() - begun
            assert answer.status_code == 200, answer.text
            errors.append(said["seconds"] / took - 1.0)
            figures = f"{said['seconds']:.2f} s said, {took:.2f} s, {errors[-1]:+.0%}"
            print(f"     {model or 'auto'} {side} px {form}: {figures}")
    worst = max(map(abs, errors))
    told("estimates of ten pictures, largest error", f"{worst:.0%}", "20 %", worst <= 0.2)


def measure_start(folder: Path, count: int) -> None:
    times: list[float] = []
    for place in range(count):
        with serving(folder / str(place), str(NOOP), "0") as server:
            times.append(server.seconds_to_ready)
    told(
        "cold start without a model, median",
        f"{statistics.median(times):.2f} s",
        "1 s",
        statistics.median(times) <= 1.0,
    )


def measure_leak(folder: Path, passes: int, *, leak: bool) -> float:
    """Growth of the memory of server and workers over passes of a hostile corpus, after the first of them."""
    corpus = [
        b"",
        b"text",
        b"\x89PNG\r\n\x1a\n" + bytes(1000),
        b"GIF89a" + b"\xff" * 500,
        BODY,
        b"\xff\xd8\xff" + bytes(99),
    ]
    worker = (str(NOOP), "0", "leak") if leak else ()
    with serving(folder, *worker) as server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        sizes: list[int] = []
        for _ in range(passes + 1):
            for data in corpus * 10:
                for path in ("/v1/upscale", "/v1/inspect?scale=2"):
                    if not (leak and "inspect" in path):
                        client.post(path, content=data)
                client.post("/v1/upscale?scale=x&y=1", content=data)
                with suppress(httpx.TransportError):  # a connection that idled while this machine was busy
                    client.get("/v1/jobs/../../etc/passwd")
            sizes.append(bytes_of(server.pids()))
    return (sizes[-1] - sizes[0]) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer repetitions, to see that it runs")
    short = parser.parse_args().short
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        measure_crowd(folder / "crowd", 60 if short else 300)
        (folder / "left").mkdir()
        measure_abandoned(folder / "left")
        measure_latency(folder / "latency", 50 if short else 500)
        measure_large_body(folder / "large")
        measure_throughput(folder / "throughput", 4 if short else 24)
        measure_estimates(folder / "estimates")
        measure_start(folder, 2 if short else 9)
        passes = 1 if short else 3
        growth, control = (measure_leak(folder / f"leak{leak}", passes, leak=leak) for leak in (False, True))
        told(f"memory growth over {passes} passes", f"{growth:.0f} MB", "50 MB", growth <= 50)
        told("the same with a leaking worker", f"{control:.0f} MB", "more than 50 MB", control > 50)
    return 1 if _faults else 0


if __name__ == "__main__":
    sys.exit(main())
