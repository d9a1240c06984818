"""Models that come over a network, from a real HTTP server on this machine: everything that can go wrong, and what is
told then.
"""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.system.server import Server, own_cache, ranged, send, status, whole
from tests.tiny import compact_file
from upres.errors import ModelError
from upres.models.add import add
from upres.models.catalog import resolve
from upres.models.load import load_model
from upres.models.model import COLUMNS, Model, downloadable_models
from upres.models.store import pull, remove, store_folder

Table = Callable[..., Model]


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of a test."""
    own_cache(tmp_path, monkeypatch)
    assert store_folder() == tmp_path / "cache" / "models"
    return store_folder()


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    """A model file."""
    return compact_file(tmp_path / "made.safetensors", 2).read_bytes()


@pytest.fixture
def table(tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """Makes the catalog one of one model, `Tiny_x2`, alias `2x-tiny`."""

    def make(
        *urls: str, license: str = "MIT", sha256: str | None = "right", size: int | None = -1, file: str = "Tiny.pth"
    ) -> Model:
        known = hashlib.sha256(data).hexdigest() if sha256 == "right" else sha256
        length = len(data) if size == -1 else size
        cells = (
            "Tiny_x2",
            "2x-tiny",
            "compact",
            "2",
            license,
            file,
            str(length or "-"),
            known or "-",
            " ".join(urls),
            "tests",
        )
        path = tmp_path / "catalog.tsv"
        path.write_text("\t".join(COLUMNS) + "\n" + "\t".join(cells) + "\n")
        monkeypatch.setattr("upres.models.model.TABLE", path)
        downloadable_models.cache_clear()
        return downloadable_models()["Tiny_x2"]

    yield make
    downloadable_models.cache_clear()


def files(folder: Path) -> list[str]:
    """What lies in the store, without locks and the empty folder of incoming files."""
    return sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.endswith(".lock"))


def failure(model: Model, **settings: float | bool) -> str:
    with pytest.raises(ModelError) as caught:
        pull(model, **settings)  # type: ignore[arg-type]
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_a_model_is_downloaded_once_and_used_by_any_of_its_names(
    server: Server, table: Table, store: Path, data: bytes
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    model = table(server.url("/Tiny.pth"))
    first, second = pull(model), pull(model)
    assert (first.path, first.downloaded, first.pinned) == (store / "Tiny.pth", True, None)
    assert (second.downloaded, len(server.requests)) == (False, 1)
    assert files(store) == ["Tiny.pth"]
    for name in ("Tiny_x2", "tiny_X2", "2X-TINY"):
        assert resolve(name) == store / "Tiny.pth"
        assert load_model(name).graph.scale == 2


def test_a_name_alone_downloads_what_is_free_and_says_so_in_the_log(
    server: Server, table: Table, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    table(server.url("/Tiny.pth"))
    assert load_model("2x-tiny").graph.scale == 2
    assert "downloading Tiny_x2 (MIT)" in caplog.text


@pytest.mark.parametrize("license", ["CC-BY-NC-SA-4.0", "unknown"])
def test_a_license_that_is_not_free_is_accepted_first_and_once(
    server: Server, table: Table, store: Path, data: bytes, license: str
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    model = table(server.url("/Tiny.pth"), license=license)
    for ask in (lambda: pull(model), lambda: resolve("Tiny_x2"), lambda: load_model("2x-tiny").graph):
        with pytest.raises(ModelError) as caught:
            ask()
        assert f"Tiny_x2: its license is {license}" in str(caught.value) and "Nothing was downloaded" in str(
            caught.value
        )
        assert "upres models pull Tiny_x2 --accept-license" in str(caught.value)
        assert "https://openmodeldb.info/models/2x-tiny" in str(caught.value)
    assert server.requests == [] and not store.exists()
    pull(model, accept_license=True).path.unlink()
    assert (store / "Tiny_x2.agreed").read_text() == f"{license}\n"
    assert pull(model).downloaded  # remembered


def test_one_license_is_accepted_at_a_time(server: Server, table: Table, data: bytes) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    pull(table(server.url("/Tiny.pth"), license="CC-BY-NC-4.0"), accept_license=True).path.unlink()
    assert "its license is CC-BY-NC-SA-4.0" in failure(table(server.url("/Tiny.pth"), license="CC-BY-NC-SA-4.0"))


def test_a_file_put_there_by_hand_needs_no_network_and_no_agreement(table: Table, store: Path, data: bytes) -> None:
    store.mkdir(parents=True)
    (store / "Tiny.pth").write_bytes(data)
    assert not pull(table("http://127.0.0.1:1/Tiny.pth", license="CC-BY-NC-4.0")).downloaded


def test_an_unknown_hash_is_pinned_and_another_file_refused_later(
    server: Server, table: Table, store: Path, data: bytes
) -> None:
    server.answers["/Tiny.pth"] = whole(data)
    model = table(server.url("/Tiny.pth"), sha256=None, size=None)
    digest = hashlib.sha256(data).hexdigest()
    assert pull(model).pinned == digest
    assert (store / "Tiny.pth.sha256").read_text() == f"{digest}  Tiny.pth\n"
    assert pull(model).pinned is None
    remove(model)
    assert files(store) == ["Tiny.pth.sha256"]  # the pin outlives the file
    other = data[:-1] + b"x"
    server.answers["/Tiny.pth"] = whole(other)
    words = failure(model)
    assert f"the file has the SHA-256 {hashlib.sha256(other).hexdigest()}, expected {digest}" in words
    assert f"pinned at the first download: delete {store / 'Tiny.pth.sha256'} to trust another file" in words
    assert files(store) == ["Tiny.pth.sha256"]


def test_a_file_put_there_by_hand_is_pinned_when_it_is_first_used(table: Table, store: Path, data: bytes) -> None:
    store.mkdir(parents=True)
    (store / "Tiny.pth").write_bytes(data)
    assert pull(table("http://127.0.0.1:1/", sha256=None, size=None)).pinned == hashlib.sha256(data).hexdigest()


def test_a_wrong_hash_is_refused_and_a_mirror_tried(server: Server, table: Table, store: Path, data: bytes) -> None:
    bad = data[:-1] + b"x"
    server.answers |= {"/bad.pth": whole(bad), "/good.pth": whole(data)}
    assert f"the file has the SHA-256 {hashlib.sha256(bad).hexdigest()}" in failure(table(server.url("/bad.pth")))
    assert files(store) == []
    assert pull(table(server.url("/bad.pth"), server.url("/good.pth"))).path.read_bytes() == data


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, table: Table, data: bytes) -> None:
    server.answers["/Tiny.pth"] = ranged(data, etag='"v1"', cut_first=1000)
    assert pull(table(server.url("/Tiny.pth"))).path.read_bytes() == data
    assert server.ranges() == [None, "bytes=1000-"]


def test_redirects_are_followed(server: Server, table: Table, data: bytes) -> None:
    server.answers |= {"/Tiny.pth": status(302, Location="/there"), "/there": whole(data)}
    assert pull(table(server.url("/Tiny.pth"))).downloaded


def test_a_dead_address_a_wrong_length_and_silence_are_told_with_what_to_do(
    server: Server, table: Table, store: Path, data: bytes
) -> None:
    release = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        release.wait(30)

    server.answers |= {"/long.pth": whole(data + b"x"), "/silent.pth": silent}
    model = table(server.url("/gone.pth"), server.url("/long.pth"), server.url("/silent.pth"))
    try:
        words = failure(model, timeout_s=0.2)
    finally:
        release.set()
    assert "/gone.pth: the server answered 404" in words
    assert f"/long.pth: the server declares {len(data) + 1} bytes, expected {len(data)}" in words
    assert "/silent.pth: no answer within 0.2 s" in words
    digest = hashlib.sha256(data).hexdigest()
    assert f"Without a network put Tiny.pth (sha256 {digest}, {len(data)} bytes) into {store}" in words
    assert "https://openmodeldb.info/models/2x-tiny leads to it" in words


def test_a_web_page_is_never_taken_for_the_file(server: Server, table: Table, store: Path) -> None:
    words = failure(table(server.url("/releases/tag/tiny")))
    assert (
        "no address of the file itself is known" in words and f"{server.url('/releases/tag/tiny')} leads to it" in words
    )
    assert f"into {store}" in words and server.requests == []


def test_the_mirror_of_the_user_has_what_no_address_gives(
    server: Server, table: Table, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/inside/Tiny.pth"] = whole(data)
    monkeypatch.setenv("UPRES_MIRROR", server.url("/inside"))
    assert pull(table("https://example.invalid/page")).downloaded


def packed(**entries: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return held.getvalue()


def test_a_file_is_taken_out_of_an_archive_by_its_hash(server: Server, table: Table, store: Path, data: bytes) -> None:
    decoy = data[:-1] + b"x"
    server.answers["/all.zip"] = whole(packed(**{"../Tiny.pth": decoy, "folder/other name": data, "readme": b"words"}))
    pulled = pull(table(server.url("/all.zip")))
    assert pulled.path == store / "Tiny.pth" and pulled.path.read_bytes() == data
    assert files(store) == ["Tiny.pth"] and files(store / "incoming") == []
    assert not (store.parent / "Tiny.pth").exists()


def test_an_archive_without_the_file_leaves_nothing(server: Server, table: Table, store: Path, data: bytes) -> None:
    server.answers |= {
        "/none.zip": whole(packed(a=data[:-1] + b"x", b=b"")),
        "/torn.zip": whole(b"PK\x03\x04" + b"junk" * 100),
    }
    words = failure(table(server.url("/none.zip"), server.url("/torn.zip")))
    assert "none.zip does not hold Tiny.pth" in words and "torn.zip is not a .zip that can be unpacked" in words
    assert f"into {store}" in words
    assert files(store) == [] and files(store / "incoming") == []


def test_an_entry_that_lies_about_its_size_is_not_unpacked_beyond_it(
    server: Server, table: Table, store: Path, data: bytes
) -> None:
    archive = bytearray(packed(bomb=b"\0" * 50_000_000))
    for start in (archive.index(b"PK\x03\x04") + 22, archive.rindex(b"PK\x01\x02") + 24):
        archive[start : start + 4] = len(data).to_bytes(4, "little")
    server.answers["/bomb.zip"] = whole(bytes(archive))
    assert "bomb.zip" in failure(table(server.url("/bomb.zip")))
    assert files(store) == []


def test_removing_deletes_what_is_in_the_store_and_nothing_else(
    server: Server, tmp_path: Path, table: Table, store: Path, data: bytes
) -> None:
    path = compact_file(tmp_path / "one.safetensors")
    server.answers["/Tiny.pth"] = lambda request: send(request, 200, data[:100], Content_Length=str(len(data)))
    model = table(server.url("/Tiny.pth"))
    failure(model)
    assert files(store) == ["Tiny.pth.partial"]
    added = add(str(path))
    (store / "note.txt").write_text("mine")
    assert [gone.name for gone in remove(model)] == ["Tiny.pth.partial"]
    assert [gone.name for gone in remove(added)] == ["one.safetensors", "one.model.json"]
    assert files(store) == ["note.txt"] and path.is_file()
    assert remove(model) == []
    with pytest.raises(ModelError, match="unknown model 'one'"):
        resolve("one")
