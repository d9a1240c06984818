# ruff: noqa: F811  # an argument has the name of the fixture that it asks for
"""Models that users bring: what is taken, under which name, what is refused, and that no file is run to find out."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from tests.made_ncnn import bilinear_x2
from tests.models.test_store import Table, data, files, server, store, table  # noqa: F401  # fixtures, which pytest finds by name
from tests.system.server import Server, whole
from tests.tiny import compact_file
from upres.errors import ModelError, UsageError
from upres.models.add import add
from upres.models.catalog import find, resolve
from upres.models.load import load_model
from upres.models.report import verify
from upres.models.store import added_names, read_added, remove


def test_a_file_is_copied_under_a_name_of_its_own(tmp_path: Path, store: Path) -> None:
    path = compact_file(tmp_path / "My Model (v2).safetensors", 4)
    model = add(str(path))
    assert (model.name, model.family, model.scale, model.license) == ("My-Model-v2", "compact", 4, "unknown")
    assert model.added_from == str(path) and model.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files(store) == ["My-Model-v2.model.json", "My-Model-v2.safetensors"]
    path.unlink()
    assert resolve("my-model-V2") == store / "My-Model-v2.safetensors"
    assert load_model("My-Model-v2").graph.scale == 4
    assert find("MY-MODEL-V2") == model == read_added("My-Model-v2")
    record = store / "My-Model-v2.model.json"
    earlier = {"name", "file", "sha256", "bytes", "license", "origin", "family", "scale"}
    written = json.loads(record.read_text())
    assert earlier <= written.keys()
    old = {"licence" if key == "license" else key: written[key] for key in earlier}  # as the first records were written
    record.write_text(json.dumps(old))
    assert read_added("My-Model-v2") == model


@pytest.mark.parametrize("content", [b"", b"not a model", b"<!doctype html>"])
def test_what_is_no_model_is_refused_by_its_content(tmp_path: Path, store: Path, content: bytes) -> None:
    (tmp_path / "fake.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"fake\.pth"):
        add(str(tmp_path / "fake.pth"))
    assert not store.exists()


def test_a_name_must_be_free_and_plain(tmp_path: Path, table: Table) -> None:
    path = str(compact_file(tmp_path / "one.safetensors"))
    table("https://example.invalid/a.pth")
    add(path)
    for name in ("one", "ONE", "Compact-X4", "tiny_x2", "2x-Tiny"):
        with pytest.raises(UsageError, match=r"a model named .* exists already: .*choose another name"):
            add(path, name)
    for name in ("a:0.5", "a,b", "a>b", "", "..", "a/b", "a.pth", "-a", "x" * 101):
        with pytest.raises(UsageError, match="name must be letters, digits"):
            add(path, name)
    assert added_names() == ["one"]


def test_an_address_is_downloaded_checked_and_pinned(server: Server, store: Path, data: bytes) -> None:
    server.answers |= {"/net.pth?raw=1": whole(data), "/page": whole(b"<!doctype html><html>")}
    with pytest.raises(ModelError, match=r"its license is unknown.*--name net --license unknown --accept-license"):
        add(server.url("/net.pth?raw=1"))
    assert server.requests == []
    model = add(server.url("/net.pth?raw=1"), license="MIT")
    # by content, not by its name
    assert (model.name, model.files[0].name, model.license) == ("net", "net.safetensors", "MIT")
    with pytest.raises(ModelError, match="it is a web page"):
        add(server.url("/page"), accept_license=True)
    assert files(store / "incoming") == []
    resolve("net").unlink()
    assert resolve("net").read_bytes() == data  # had again from where it came
    resolve("net").unlink()
    server.answers["/net.pth?raw=1"] = whole(data[:-1] + b"x")
    with pytest.raises(ModelError, match=f"expected {model.files[0].sha256}"):
        resolve("net")


def test_an_added_file_that_changed_or_went_is_refused_with_its_place(tmp_path: Path, store: Path) -> None:
    add(str(compact_file(tmp_path / "one.safetensors")))
    path = store / "one.safetensors"
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[:-1] + b"x")
    with pytest.raises(ModelError, match=r"has the SHA-256 .* expected .*put one\.safetensors .* into"):
        resolve("one")
    path.unlink()
    with pytest.raises(ModelError, match="no address of the file itself is known"):
        load_model("one")
    path.write_bytes(whole_file)
    assert resolve("one") == path


def test_a_torn_record_is_named_and_reaches_no_other_folder(tmp_path: Path, store: Path) -> None:
    add(str(compact_file(tmp_path / "one.safetensors")))
    record = store / "one.model.json"
    good = json.loads(record.read_text())
    lies = ({"file": "../../one"}, {"name": "two"}, {"scale": "2"}, {"sha256": "12345678"})
    for bad in ("", "[]", "{}", *(json.dumps(good | lie) for lie in lies)):
        record.write_text(bad)
        with pytest.raises(
            ModelError, match=r"one\.model\.json is not a record of a model .*Delete it and add the model again"
        ):
            resolve("one")
    assert resolve("compact-x4").is_file()  # no other name suffers


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.touch, (self.path,))


def test_a_pickle_that_would_run_a_program_is_refused_unrun(tmp_path: Path, store: Path) -> None:
    mark = tmp_path / "it was run"
    with zipfile.ZipFile(tmp_path / "evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"a": _Evil(mark)}, protocol=2))
        archive.writestr("evil/version", "3\n")
    with pytest.raises(ModelError, match=r"evil\.pth"):
        add(str(tmp_path / "evil.pth"))
    assert not mark.exists() and not store.exists()


def test_what_is_no_file_is_refused(tmp_path: Path, store: Path) -> None:
    for name in ("none.pth", "folder.pth"):
        (tmp_path / "folder.pth").mkdir(exist_ok=True)
        with pytest.raises(ModelError, match=name):
            add(str(tmp_path / name))
    assert not store.exists()


@pytest.mark.slow
@pytest.mark.parametrize("half", [".param", ".bin"])
def test_both_files_of_an_ncnn_model_are_taken_verified_and_removed(half: str, tmp_path: Path, store: Path) -> None:
    param = bilinear_x2(tmp_path)
    weights = param.with_suffix(".bin")
    model = add(str(param.with_suffix(half)), "two")
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (param, weights)]
    assert [(file.name, file.sha256) for file in model.files] == list(
        zip(("two.param", "two.bin"), digests, strict=True)
    )
    assert read_added("two") == model
    expected = load_model(str(param)).networks[0]
    param.unlink()
    weights.unlink()
    found = load_model("two").networks[0]
    assert (found.scale, found.parameters) == (expected.scale, expected.parameters)
    assert [check.sound for check in verify() if check.name == "two"] == [True, True]
    (store / "two.bin").write_bytes((store / "two.bin").read_bytes()[:-4] + b"\0\0\0\x3f")
    assert [check.sound for check in verify() if check.name == "two"] == [True, False]
    with pytest.raises(ModelError, match=r"two\.bin"):
        load_model("two")
    assert sorted(path.name for path in remove(model)) == ["two.bin", "two.model.json", "two.param"]


def test_an_ncnn_model_without_its_weights_is_refused(tmp_path: Path, store: Path) -> None:
    param = bilinear_x2(tmp_path)
    weights = param.with_suffix(".bin")
    weights.unlink()
    with pytest.raises(ModelError, match=r"lists layers and holds no weights\. Put .*\.bin beside it"):
        add(str(param))
    assert not store.exists()


def test_a_model_of_the_catalog_can_be_had_from_a_copy(assets: Path, store: Path) -> None:
    model = add(str(assets / "weights" / "realesr-animevideov3.pth"), "video", "BSD-3-Clause")
    assert (model.files[0].name, model.scale) == ("video.pth", 4)
    assert load_model("VIDEO").graph.receptive_field == 18
