"""Downloads from a real HTTP server on this machine: everything that a network does to a file, and what the user is
told then.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from tests.system.server import DATA, HALF, SHA, Server, failure, files, own_cache, ranged, send, source, status, whole
from upres.errors import OutputError, UsageError
from upres.system.download import Source, fetch


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_cache(tmp_path, monkeypatch)


def test_a_file_is_fetched_once(server: Server, cache: Path) -> None:
    server.answers["/net.bin"] = whole()
    seen: list[tuple[int, int | None]] = []
    of = source(server.url("/net.bin"))
    path = fetch(of, progress=lambda done, total: seen.append((done, total)))
    assert path == cache / "net.bin" and path.read_bytes() == DATA
    assert files(cache) == ["net.bin"]
    assert seen[-1] == (len(DATA), len(DATA)) and seen == sorted(seen)
    assert fetch(of) == path
    assert len(server.requests) == 1
    assert server.requests[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize("content", [b"x" + DATA[1:], DATA[:-1], b""])
def test_a_wrong_file_in_the_cache_is_named_and_replaced(
    server: Server, cache: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    cache.mkdir()
    (cache / "net.bin").write_bytes(content)
    words = failure(source(server.url("/none")))  # it is not lost for a download that fails
    assert f"{cache / 'net.bin'} has " in words and (cache / "net.bin").read_bytes() == content
    server.answers["/net.bin"] = whole()
    caplog.clear()
    assert fetch(source(server.url("/net.bin"))).read_bytes() == DATA
    assert [record.levelno for record in caplog.records if "It is fetched again" in record.message] == [logging.WARNING]
    assert str(cache / "net.bin") in caplog.text


def test_a_wrong_hash_is_refused_and_the_next_url_is_tried(server: Server, cache: Path) -> None:
    bad = b"x" + DATA[1:]
    server.answers.update({"/bad": whole(bad), "/good": whole()})
    words = failure(source(server.url("/bad")))
    assert f"the file has the SHA-256 {hashlib.sha256(bad).hexdigest()}, expected {SHA}" in words
    assert files(cache) == []
    words = failure(source(server.url("/bad"), sha256="0123456789", size=None))
    assert "expected 0123456789" in words and "sha256 0123456789..." in words
    assert fetch(source(server.url("/bad"), server.url("/good"))).read_bytes() == DATA


def test_redirects_are_followed_to_the_fifth(server: Server) -> None:
    for step in range(6):
        server.answers[f"/{step}"] = status(302, Location=f"/{step + 1}")
    server.answers["/6"] = whole()
    assert "more than 5 redirects" in failure(source(server.url("/0")))
    assert fetch(source(server.url("/1"))).read_bytes() == DATA


def test_a_redirect_may_not_leave_https(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"Location": "http://example.org/net.bin"})

    client = httpx.Client

    def make(**settings: object) -> httpx.Client:
        return client(transport=httpx.MockTransport(handle), **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "Client", make)
    words = failure(source("https://example.org/net.bin"))
    assert (
        "the redirect from https://example.org/net.bin to http://example.org/net.bin is refused: it must lead to https"
        in words
    )
    monkeypatch.setattr(httpx, "Client", client)
    server.answers["/file"] = status(302, Location="file:///etc/hostname")
    assert "etc/hostname is refused: it must lead to https" in failure(source(server.url("/file")))


def test_a_mirror_is_tried_when_a_url_is_gone(server: Server) -> None:
    server.answers["/net.bin"] = whole()
    assert fetch(source(server.url("/gone"), server.url("/net.bin"))).read_bytes() == DATA
    assert [path for path, _ in server.requests] == ["/gone", "/net.bin"]


def test_all_reasons_are_told(server: Server, cache: Path) -> None:
    server.answers["/busy"] = status(503)
    words = failure(source(server.url("/gone"), server.url("/busy"), "http://127.0.0.1:port/"))
    assert f"{server.url('/gone')}: the server answered 404 Not Found" in words
    assert f"{server.url('/busy')}: the server answered 503 Service Unavailable" in words
    assert "http://127.0.0.1:port/: not a URL" in words
    assert f"put net.bin (sha256 {SHA}, {len(DATA)} bytes) into {cache}" in words


def test_the_users_mirror_comes_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/inside/net.bin"] = whole()
    for base in ("/inside", "/inside/"):
        monkeypatch.setenv("UPRES_MIRROR", server.url(base))
        fetch(source(server.url("/net.bin"))).unlink()
    assert [path for path, _ in server.requests] == ["/inside/net.bin"] * 2
    monkeypatch.setenv("UPRES_MIRROR", "/srv/models")
    assert "UPRES_MIRROR must be the http(s) URL of a folder, got '/srv/models'" in failure(source(), UsageError)


def test_a_silent_server_is_given_up(server: Server) -> None:
    release = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        release.wait(30)

    server.answers.update({"/silent": silent, "/net.bin": whole()})
    try:
        assert "/silent: no answer within 0.2 s" in failure(source(server.url("/silent")), timeout_s=0.2)
        assert fetch(source(server.url("/silent"), server.url("/net.bin")), timeout_s=0.2).read_bytes() == DATA
    finally:
        release.set()


def test_a_wrong_length_is_refused_before_the_body(server: Server, cache: Path) -> None:
    server.answers.update({"/short": whole(DATA[:-1]), "/long": whole(DATA + b"x")})
    assert f"the server declares {len(DATA) - 1} bytes, expected {len(DATA)}" in failure(source(server.url("/short")))
    assert f"the server declares {len(DATA) + 1} bytes, expected {len(DATA)}" in failure(source(server.url("/long")))
    assert files(cache) == []


def test_a_body_without_a_length_is_counted(server: Server, cache: Path) -> None:
    # HTTP/1.0: the end of the connection is the end of the body
    server.answers["/long"] = lambda request: send(request, 200, DATA * 2)
    server.answers["/short"] = lambda request: send(request, 200, DATA[:HALF])
    assert f"the server sends more than {len(DATA)} bytes" in failure(source(server.url("/long")))
    assert files(cache) == []
    assert f"the connection ended after {HALF} of {len(DATA)} bytes" in failure(source(server.url("/short")))


def test_an_unknown_hash_is_pinned(server: Server, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.answers["/net.bin"] = whole()
    of = source(server.url("/net.bin"), sha256=None, size=None)
    path = fetch(of)
    pin = cache / "net.bin.sha256"
    assert pin.read_text() == f"{SHA}  net.bin\n"
    assert [record.levelno for record in caplog.records if "is pinned in" in record.message] == [logging.WARNING]
    caplog.clear()
    assert fetch(of) == path and caplog.text == ""
    path.write_bytes(b"changed")
    server.answers["/net.bin"] = whole(b"changed")
    words = failure(of)
    assert f"{path} has the SHA-256" in words and f"expected {SHA}" in words
    assert f"pinned at the first download: delete {pin} to trust another file" in words
    server.answers["/net.bin"] = whole()
    assert fetch(of).read_bytes() == DATA
    pin.write_text("nonsense")
    assert f"{pin} does not contain the SHA-256 of net.bin" in failure(of)
    pin.unlink()
    assert fetch(of) == path and pin.is_file()  # a file that was there is pinned as it is


def test_without_a_network_the_user_is_told_what_to_put_where(cache: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net.bin"
        words = failure(source(url))
    assert f"{url}: no connection (" in words
    assert f"Without a network put net.bin (sha256 {SHA}, {len(DATA)} bytes) into {cache}" in words
    assert "set UPRES_MIRROR to the URL of a folder that holds it" in words
    assert "put net.bin (no SHA-256 is known) into" in failure(source(url, sha256=None, size=None))


def test_without_httpx_the_user_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    words = failure(source("https://example.org/net.bin"))
    assert "pip install httpx" in words and "Without a network put net.bin" in words


def test_a_full_disk_says_so_and_leaves_nothing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/net.bin"] = ranged(etag='"v1"')
    real = Path.open

    class Full:
        """A file on a disk without room."""

        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def write(self, _: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(path: Path, mode: str = "r", *arguments: object, **settings: object) -> object:
        file = real(path, mode, *arguments, **settings)  # type: ignore[call-overload]
        return Full(file) if path.name == "net.bin.partial" and mode in ("ab", "wb") else file

    monkeypatch.setattr(Path, "open", opened)
    assert "net.bin: the disk is full" in failure(source(server.url("/net.bin")), OutputError)
    assert files(cache) == []


def test_two_processes_download_once(server: Server) -> None:
    held, release = threading.Event(), threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        held.set()
        release.wait(30)
        whole()(request)

    server.answers["/net.bin"] = slow
    program = (
        "from upres.system.download import Source, fetch\n"
        f"print(fetch(Source('net.bin', ({server.url('/net.bin')!r},), {SHA!r}, None, '')))"
    )
    first = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert held.wait(30)
    second = threading.Thread(target=fetch, args=(source(server.url("/net.bin")),))
    second.start()
    release.set()
    assert first.communicate()[0].decode().strip().endswith("net.bin") and first.returncode == 0
    second.join()
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "sha256"), [("a/b", SHA), ("..", SHA), ("", SHA), ("a", "12345"), ("a", SHA.upper()), ("a", "g" * 64)]
)
def test_an_invalid_source_is_refused(name: str, sha256: str) -> None:
    with pytest.raises(ValueError, match=r"plain file|hex digits"):
        Source(name, (), sha256, None, "MIT")


def test_importing_loads_no_http_library() -> None:
    program = "import upres.system.download, sys; print(sorted({'httpx', 'ssl', 'numpy', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
