"""A web server for the tests of downloads, which answers as they tell it, and what they download from it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from upres.errors import ModelError
from upres.system.download import Source, fetch

DATA = bytes(range(256)) * 400  # 102,400 bytes
SHA = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A server on 127.0.0.1 whose answers are functions by path; `requests` are the paths and headers that were asked
    for, in order.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                outer.answers.get(self.path, status(404))(self)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}{path}"

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.requests]

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def send(request: BaseHTTPRequestHandler, code: int, body: bytes, **headers: str) -> None:
    request.send_response(code)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def status(code: int, **headers: str) -> Answer:
    return lambda request: send(request, code, b"", Content_Length="0", **headers)


def whole(data: bytes = DATA, **headers: str) -> Answer:
    """Knows no ranges."""
    return lambda request: send(request, 200, data, Content_Length=str(len(data)), **headers)


def ranged(data: bytes = DATA, etag: str = "", cut_first: int | None = None) -> Answer:
    """Knows ranges and If-Range. The first answer breaks off after `cut_first` bytes."""
    calls: list[int] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked, condition = request.headers.get("Range"), request.headers.get("If-Range")
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and condition in (None, etag) else 0
        headers = {"ETag": etag} if etag else {}
        if start >= len(data):
            return send(request, 416, b"", Content_Length="0")
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        calls.append(start)
        sent = body[:cut_first] if len(calls) == 1 and cut_first is not None else body
        send(request, 206 if start else 200, sent, Content_Length=str(len(body)), **headers)

    return answer


def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a test; no proxy or mirror of this machine takes part."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("UPRES_MIRROR", raising=False)
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def source(*urls: str, sha256: str | None = SHA, size: int | None = len(DATA)) -> Source:
    return Source("net.bin", urls, sha256, size, "MIT")


def files(folder: Path) -> list[str]:
    """What lies in the cache, without the lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def failure(of: Source, kind: type[Exception] = ModelError, **settings: float) -> str:
    with pytest.raises(kind) as caught:
        fetch(of, **settings)  # type: ignore[arg-type]
    return str(caught.value)
