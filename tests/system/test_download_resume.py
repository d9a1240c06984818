"""A download that breaks off goes on where it stopped, unless the file is another by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.server import DATA, HALF, Server, failure, files, ranged, send, source, whole
from tests.system.test_download import cache as cache  # every test of this file has its own, too
from tests.system.test_download import server as server
from upres.system.download import fetch


@pytest.mark.parametrize("etag", ["", '"v1"'])
def test_a_cut_connection_goes_on_where_it_stopped(server: Server, cache: Path, etag: str) -> None:
    server.answers["/net.bin"] = ranged(etag=etag, cut_first=HALF)
    assert fetch(source(server.url("/net.bin"))).read_bytes() == DATA
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert server.requests[1][1].get("if-range", "") == etag
    assert files(cache) == ["net.bin"]


def test_a_later_run_goes_on_too(server: Server, cache: Path) -> None:
    server.answers["/net.bin"] = lambda request: send(
        request, 200, DATA[:HALF], Content_Length=str(len(DATA)), ETag='"v1"'
    )
    of = source(server.url("/net.bin"))
    words = failure(of)
    assert "the connection broke" in words
    assert files(cache) == ["net.bin.partial", "net.bin.partial.etag"]
    server.requests.clear()
    server.answers["/net.bin"] = ranged(etag='"v1"')
    seen: list[int] = []
    assert fetch(of, progress=lambda done, _: seen.append(done)).read_bytes() == DATA
    assert server.ranges() == [f"bytes={HALF}-"] and seen[0] > HALF
    assert files(cache) == ["net.bin"]


def test_a_mirror_goes_on_with_what_another_began(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA[:HALF])
    server.answers["/mirror"] = ranged(etag='"other"')
    assert fetch(source(server.url("/mirror"))).read_bytes() == DATA
    assert server.ranges() == [f"bytes={HALF}-"]
    assert "if-range" not in server.requests[0][1]


def test_a_file_that_changed_meanwhile_starts_over(server: Server, cache: Path) -> None:
    url = server.url("/net.bin")
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(b"old" * 100)
    (cache / "net.bin.partial.etag").write_text(f'{url}\n"v0"')
    server.answers["/net.bin"] = ranged(etag='"v1"')
    assert fetch(source(url)).read_bytes() == DATA
    assert server.requests[0][1]["if-range"] == '"v0"'
    assert len(server.requests) == 1  # the answer 200 was the whole file


def test_parts_of_two_files_are_noticed_and_fetched_anew(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(b"old" * 100)
    server.answers["/net.bin"] = ranged()
    assert fetch(source(server.url("/net.bin"))).read_bytes() == DATA
    assert server.ranges() == ["bytes=300-", None]


def test_a_partial_that_is_too_long_starts_over(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA + b"more")
    server.answers["/net.bin"] = ranged()
    assert fetch(source(server.url("/net.bin"))).read_bytes() == DATA
    assert server.ranges() == [f"bytes={len(DATA) + 4}-", None]


def test_a_partial_that_is_whole_needs_no_network(cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA)
    assert fetch(source("http://127.0.0.1:1/net.bin")).read_bytes() == DATA


def test_a_server_that_knows_no_ranges_starts_over(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA[:HALF])
    server.answers["/net.bin"] = whole()
    assert fetch(source(server.url("/net.bin"))).read_bytes() == DATA
    assert server.ranges() == [f"bytes={HALF}-"]


def test_a_range_that_was_not_asked_for_is_refused(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin.partial").write_bytes(DATA[:HALF])
    server.answers["/net.bin"] = lambda request: send(
        request,
        206,
        DATA[10:],
        Content_Length=str(len(DATA) - 10),
        Content_Range=f"bytes 10-{len(DATA) - 1}/{len(DATA)}",
    )
    assert f"was asked for bytes from {HALF} on but sent bytes 10-" in failure(source(server.url("/net.bin")))


def test_what_breaks_off_without_a_hash_or_etag_is_not_pieced_together(server: Server) -> None:
    server.answers["/net.bin"] = ranged(cut_first=HALF)
    assert fetch(source(server.url("/net.bin"), sha256=None)).read_bytes() == DATA
    assert server.ranges() == [None, None]
