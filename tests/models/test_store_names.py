"""Where the store lies, and what its files are called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.server import own_cache
from upres.errors import OutputError
from upres.models.store import check_license, download_of, store_folder


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of a test."""
    own_cache(tmp_path, monkeypatch)
    assert store_folder() == tmp_path / "cache" / "models"
    return store_folder()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX permissions")
def test_a_store_that_cannot_be_made_is_named(store: Path) -> None:
    store.parent.write_bytes(b"a file where the folder should be")
    with pytest.raises(OutputError, match=str(store)):
        check_license("a", "CC-BY-NC-4.0", accept=True)


def test_the_name_of_a_download_is_plain_whatever_its_address() -> None:
    for url in (
        "https://a/../..%2f",
        "https://a/",
        "https://a/b c?d=/e",
        "https://a/.hidden",
        f"https://a/{'x' * 500}.pth",
    ):
        source = download_of(url, "unknown")
        assert len(source.name) < 100 and source.urls == (url,) and not source.pin
    assert download_of("https://a/x", "").name != download_of("https://b/x", "").name
