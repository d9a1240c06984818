"""A picture at a URL: only what is public is dialed, whatever the name server says the second time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.serve.running import running
from upres.serve.fetch import CheckedBackend, fetch_picture
from upres.serve.problems import Problem
from upres.serve.settings import Settings
from upres.system.public_address import is_public

SETTINGS = Settings(max_mb=0.01, body_seconds=5.0)


class Pictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        host = f"http://pictures.example:{self.server.server_address[1]}"  # type: ignore[attr-defined]
        places = {
            "/a": host + "/b",
            "/b": "/ok",
            "/loop": "/loop",
            "/inside": "http://inside.example/secret",
            "/file": "file:///etc/passwd",
            "/direct": "http://127.0.0.1:1/secret",
        }
        if self.path in places:
            self.send_response(302)
            self.send_header("Location", places[self.path])
            self.end_headers()
            return
        self.send_response(200 if self.path in ("/ok", "/large") else 404)
        self.end_headers()
        self.wfile.write(b"x" * 20_000 if self.path == "/large" else b"picture")

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def backend(answers: dict[str, list[list[str]]]) -> CheckedBackend:
    """A name server with these answers, one after the other; 127.0.0.1 counts as public, for the test server."""
    return CheckedBackend(lambda host, _: answers[host].pop(0), lambda address: address == "127.0.0.1")


def test_a_picture_is_fetched_through_redirects(port: int, tmp_path: Path) -> None:
    here = backend({"pictures.example": [["127.0.0.1"]] * 9})
    upload = fetch_picture(f"http://pictures.example:{port}/a", tmp_path / "x", SETTINGS, here)
    assert (upload.path.read_bytes(), upload.bytes) == (b"picture", 7)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/loop", "redirects more than 5 times"),
        ("/inside", "inside.example is not an address of the public internet"),
        ("/file", "must begin with https:// or http://"),
        ("/none", "answers 404"),
        ("/large", "larger than"),
    ],
)
def test_what_is_refused(port: int, tmp_path: Path, path: str, words: str) -> None:
    names = {"pictures.example": [["127.0.0.1"]] * 9, "inside.example": [["10.0.0.1"]]}
    with pytest.raises(Problem, match=words):
        fetch_picture(f"http://pictures.example:{port}{path}", tmp_path / "x", SETTINGS, backend(names))
    assert not (tmp_path / "x").exists()


def test_the_address_that_was_checked_is_the_one_that_is_dialed(port: int, tmp_path: Path) -> None:
    names = {"pictures.example": [["127.0.0.1"], ["10.0.0.1"]]}
    upload = fetch_picture(f"http://pictures.example:{port}/ok", tmp_path / "x", SETTINGS, backend(names))
    assert upload.bytes == 7 and names["pictures.example"] == [["10.0.0.1"]]  # asked once


def test_one_private_address_among_public_ones_is_enough_to_refuse(port: int, tmp_path: Path) -> None:
    names = {"pictures.example": [["127.0.0.1", "10.0.0.1"]]}
    with pytest.raises(Problem, match="not an address of the public internet"):
        fetch_picture(f"http://pictures.example:{port}/ok", tmp_path / "x", SETTINGS, backend(names))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0x7f.1/", "http://2130706433/",
        "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest/meta-data/",
    ],
)  # fmt: skip
def test_private_addresses_are_not_dialed(url: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as error:
        fetch_picture(url, tmp_path / "x", SETTINGS)
    assert error.value.code == "url"


@pytest.mark.parametrize(
    "url", ["", "ftp://x/", "http://", "http://a:b@x/", "http://x:0/", "http://x/ y", "http://x/\u00e9"]
)
def test_odd_urls_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="URL"):
        fetch_picture(url, tmp_path / "x", SETTINGS)


def test_urls_are_off_unless_allowed(tmp_path: Path, port: int) -> None:
    url = f"http://127.0.0.1:{port}/ok"
    with running(tmp_path / "off") as server:
        answer = server.client.post("/v1/upscale", params={"url": url})
        assert answer.json()["detail"].startswith("this server takes no URLs")
    with running(tmp_path / "on", allow_url=True) as server:
        answer = server.client.post("/v1/upscale", params={"url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "url")
        assert "not an address of the public internet" in answer.json()["detail"]
        assert not is_public("127.0.0.1") and not [*server.service.store.incoming.iterdir()]
