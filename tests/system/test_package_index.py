"""A package's file by the index of pip or uv, from a real HTTP server on this machine."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.server import Server, status, whole
from upres.errors import ModelError
from upres.system import package_index
from upres.system.package_index import PYPI, PackageFile, index_urls

SHA = "ab" * 32
WANTED = PackageFile("Some_Models", "some_models-1.0-py3-none-any.whl", SHA, 1000)
ADDRESS = f"pypi:Some_Models/{WANTED.name}#sha256={SHA}&bytes=1000"
JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No index is configured; returns the folder of the user's configuration."""
    for kind in ("INDEX_URL", "EXTRA_INDEX_URL"):
        monkeypatch.delenv(f"PIP_{kind}", raising=False)
        monkeypatch.delenv(f"UV_{kind}", raising=False)
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX", "PIP_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    return tmp_path


def page(files: list[tuple[str, str, str | None]]) -> bytes:
    listed = [{"filename": name, "url": url, "hashes": {"sha256": sha} if sha else {}} for name, url, sha in files]
    return json.dumps({"meta": {"api-version": "1.0"}, "name": "some-models", "files": listed}).encode()


def use(server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: str) -> None:
    server.answers["/simple/some-models/"] = whole(answer, Content_Type=kind)
    monkeypatch.setenv("PIP_INDEX_URL", server.url("/simple"))


def test_an_address_of_the_catalog_is_read_whole_or_refused() -> None:
    assert PackageFile.parse(ADDRESS) == WANTED
    for wrong in ("https://a/b.whl", "pypi:a", "pypi:a/b.whl", "pypi:a/b.whl#sha256=00", f"pypi:#sha256={SHA}&bytes=1"):
        with pytest.raises(ValueError, match="expected pypi:PACKAGE/FILE"):
            PackageFile.parse(wrong)


@pytest.mark.parametrize("url", ["/files/some.whl", "https://files.example/x/some.whl#sha256=" + SHA])
def test_a_file_is_found_on_a_page_in_json(server: Server, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    use(server, monkeypatch, page([("other.whl", "o", None), (WANTED.name, url, SHA)]), JSON)
    source = WANTED.source("MIT")
    assert source.urls == (server.url(url) if url.startswith("/") else url.partition("#")[0],)
    assert (source.name, source.sha256, source.bytes, source.license) == (WANTED.name, SHA, 1000, "MIT")
    ((path, headers),) = server.requests
    assert path == "/simple/some-models/" and JSON in headers["accept"]


@pytest.mark.parametrize("fragment", ["", f"#sha256={SHA}", "#md5=00"])
def test_a_file_is_found_on_a_page_in_html(server: Server, monkeypatch: pytest.MonkeyPatch, fragment: str) -> None:
    html = f"<!DOCTYPE html><a name=x></a><a href='../../files/{WANTED.name}{fragment}' data-a='1'>a name</a>"
    use(server, monkeypatch, html.encode(), "text/html; charset=utf-8")
    assert WANTED.source("MIT").urls == (server.url(f"/files/{WANTED.name}"),)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (page([]), JSON, "does not list the file"),
        (page([(WANTED.name, "a", "cd" * 32)]), JSON, "another file of that name"),
        (b'{"files": 3}', JSON, "cannot be read"),
        (b"{", JSON, "cannot be read"),
        (b"<p>", "text/html", "does not list the file"),
    ],
)
def test_a_page_without_it_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: str, words: str
) -> None:
    use(server, monkeypatch, answer, kind)
    with pytest.raises(ModelError, match=f"{WANTED.name} was not found in your package index .*{words}.*PIP_INDEX_URL"):
        WANTED.source("MIT")


def test_a_page_without_end_is_left(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index, "_MAX_PAGE_BYTES", 100)
    use(server, monkeypatch, page([]) + b" " * 100, JSON)
    with pytest.raises(ModelError, match="longer than 100 bytes"):
        WANTED.source("MIT")


def test_the_next_index_is_asked_and_passwords_are_kept_off_messages(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server.url("/none").replace("http://", "http://me:secret@")
    second = server.url("/simple").replace("http://", "http://me:secret@")
    server.answers["/none/some-models/"] = status(404)
    server.answers["/simple/some-models/"] = whole(page([(WANTED.name, "/some.whl", SHA)]), Content_Type=JSON)
    monkeypatch.setenv("PIP_INDEX_URL", first)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", second)
    assert WANTED.source("MIT").urls == (server.url("/some.whl").replace("http://", "http://me:secret@"),)
    assert server.requests[1][1]["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
    with pytest.raises(ModelError, match="the server answered 404") as caught:
        WANTED.source("MIT")
    assert "secret" not in str(caught.value)


def test_the_index_is_that_of_the_user(no_settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_urls() == (PYPI,)
    (no_settings / "pip.conf").write_text(
        "[global]\nindex-url = https://a.example/simple/\nextra-index-url =\n  https://b.example/s\n  file:///folder\n"
    )
    assert index_urls() == ("https://a.example/simple", "https://b.example/s")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "corp=https://c.example/simple")
    assert index_urls() == ("https://c.example/simple", "https://b.example/s")
    monkeypatch.setenv("PIP_INDEX_URL", "https://d.example/simple")
    assert index_urls()[0] == "https://d.example/simple"
    (no_settings / "pip.conf").write_text("not a setting")
    assert index_urls() == ("https://d.example/simple",)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the folders of Linux")
def test_the_files_are_those_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_CONFIG_FILE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    for folder, host in (("xdg/pip", "a"), (".pip", "b"), ("config/pip", "c"), ("env", "d")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "pip.conf").write_text(f"[global]\nindex-url = https://{host}.example\n")
        assert index_urls()[0] == f"https://{host}.example"


def test_importing_loads_no_http_library() -> None:
    program = "import upres.system.package_index, sys; print(sorted({'httpx', 'ssl', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
