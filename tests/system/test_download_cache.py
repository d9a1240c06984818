"""Where downloads are kept: the platform's folder, or the user's."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.system.server import DATA, SHA, failure, own_cache, source
from upres.errors import OutputError
from upres.system.download import cache_folder, fetch


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_cache(tmp_path, monkeypatch)


def test_a_file_put_there_by_hand_is_as_good(cache: Path) -> None:
    cache.mkdir()
    (cache / "net.bin").write_bytes(DATA)
    assert fetch(source("http://127.0.0.1:1/net.bin")) == cache / "net.bin"
    assert fetch(source(sha256=SHA[:8], size=None)).read_bytes() == DATA  # a prefix, as in the file names of torch hub


def test_a_cache_that_cannot_be_written_is_named(cache: Path) -> None:
    cache.write_bytes(b"a file where the folder should be")
    assert f"cannot write {cache / 'net.bin'}" in failure(source(), OutputError)


def test_the_cache_folder_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("UPRES_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    asked: list[str] = []
    for system in ("unix.Unix", "macos.MacOS", "windows.Windows"):
        module, _, name = system.partition(".")
        folders = getattr(importlib.import_module(f"platformdirs.{module}"), name)
        monkeypatch.setattr(
            "platformdirs.user_cache_path", lambda name, kind=folders, **options: kind(name, **options).user_cache_path
        )
        monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda _: "/local")
        asked.append(str(cache_folder()))
    assert asked == [str(tmp_path / "xdg/upres"), str(tmp_path / "xdg/upres"), "/local/upres"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the rules of the XDG standard")
def test_a_relative_folder_for_caches_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UPRES_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    for relative in ("relative", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert cache_folder() == tmp_path / ".cache" / "upres"


def test_a_cache_of_an_earlier_version_on_macos_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("UPRES_CACHE")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    before = tmp_path / "Library" / "Caches" / "upres"
    assert cache_folder() != before
    before.mkdir(parents=True)
    assert cache_folder() == before
