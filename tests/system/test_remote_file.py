"""Objects on a web server become files: resumed, asked for again, and refused if they are another."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.system.server import DATA, HALF, SHA, Answer, Server, own_cache, ranged, status, whole
from upres.errors import InputError, OutputError
from upres.system import remote_file
from upres.system.remote_file import below, fetch_object, read_object, shown_url


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    own_cache(tmp_path, monkeypatch)
    monkeypatch.setattr(remote_file, "_WAITS_S", (0.0, 0.0))
    one = Server()
    yield one
    one.close()


def after(failures: int, answer: Answer) -> Answer:
    """503 that often, then `answer`."""
    left = iter(range(failures))

    def first_busy(request: BaseHTTPRequestHandler) -> None:
        (status(503) if next(left, None) is not None else answer)(request)

    return first_busy


def fetched(server: Server, target: Path, size: int = len(DATA), sha256: str = SHA) -> list[int]:
    got: list[int] = []
    fetch_object(server.url("/x"), target, size=size, sha256=sha256, progress=got.append)
    return got


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = whole()
    assert sum(fetched(server, tmp_path / "x")) == len(DATA)
    assert (tmp_path / "x").read_bytes() == DATA and fetched(server, tmp_path / "x") == []
    (tmp_path / "x").write_bytes(bytes(len(DATA)))  # damaged in the cache
    assert sum(fetched(server, tmp_path / "x")) == len(DATA) and len(server.requests) == 2


def test_a_connection_that_breaks_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = ranged(cut_first=HALF)
    assert sum(fetched(server, tmp_path / "x")) == len(DATA)
    assert server.ranges() == [None, f"bytes={HALF}-"] and (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize("answer", [whole(), ranged()], ids=["no ranges", "ranges"])
def test_a_partial_file_of_an_earlier_run_is_completed(server: Server, tmp_path: Path, answer: Answer) -> None:
    (tmp_path / "x.partial").write_bytes(DATA[:HALF])
    server.answers["/x"] = answer
    assert sum(fetched(server, tmp_path / "x")) == len(DATA) - HALF
    assert (tmp_path / "x").read_bytes() == DATA and not (tmp_path / "x.partial").exists()


def test_a_partial_file_of_another_object_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_bytes(bytes(HALF))
    server.answers["/x"] = ranged()
    fetched(server, tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA and server.ranges() == [f"bytes={HALF}-", None]


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_named(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = after(2, whole())
    fetched(server, tmp_path / "x")
    assert len(server.requests) == 3
    server.answers["/y"] = after(2, whole(b"short"))
    assert read_object(server.url("/y"), 9) == b"short"
    server.answers["/x"] = status(503)
    with pytest.raises(InputError, match=r"cannot read http://127.*/x: the server answered 503 Service Unavailable"):
        fetched(server, tmp_path / "z")


def test_another_object_is_refused(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = whole(DATA[::-1])
    with pytest.raises(InputError, match=rf"has the SHA-256 [0-9a-f]{{64}}, expected {SHA}: it is damaged"):
        fetched(server, tmp_path / "x")
    assert not (tmp_path / "x").exists() and not (tmp_path / "x.partial").exists()
    server.answers["/x"] = whole(DATA + b"more")
    with pytest.raises(InputError, match="has 102,404 bytes, expected 102,400"):
        fetched(server, tmp_path / "x")
    server.answers["/x"] = status(410)
    with pytest.raises(InputError, match="there is no such object"):
        fetched(server, tmp_path / "x")
    with pytest.raises(InputError, match="the server answered 403"):
        server.answers["/x"] = status(403)
        fetched(server, tmp_path / "x")
    server.answers["/y"] = whole(b"a long one")
    with pytest.raises(InputError, match="has more than 3 bytes"):
        read_object(server.url("/y"), 3)


def test_a_full_disk_is_an_output_error_and_keeps_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/x"] = whole()
    real = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, piece: bytes) -> None:
            self.file.write(piece[:9])
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path: Path, mode: str = "r") -> Full:
        return Full(real(path, mode))

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OutputError, match="the disk is full"):
        fetched(server, tmp_path / "x")
    assert not (tmp_path / "x.partial").exists()


def test_names_below_a_url_keep_its_query_which_messages_do_not_show() -> None:
    assert below("https://a/b/?key=1", "c.bin") == "https://a/b/c.bin?key=1"
    assert below("s3://b/k/", "c.bin") == "s3://b/k/c.bin"
    assert shown_url("https://me:secret@a/b?key=1") == "https://a/b"
