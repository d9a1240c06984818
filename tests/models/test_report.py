"""The list, the facts of a model and of any file, and hashing again what is here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.made_ncnn import bilinear_x2, tagged, write
from tests.tiny import compact_file
from upres.errors import ModelError
from upres.models.add import add
from upres.models.catalog import MODELS
from upres.models.model import BUNDLED, downloadable_models
from upres.models.report import FileCheck, bytes_of, facts, state_of, verify
from upres.models.store import store_folder
from upres.weights.read import write_safetensors


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    store_folder().mkdir(parents=True)
    return store_folder()


def test_state_and_size_of_each_kind_of_model(tmp_path: Path, store: Path) -> None:
    mine = add(str(bilinear_x2(tmp_path)), "mine")
    (store / "BSRGAN.pth").write_bytes(b"here, whatever it is")
    known = downloadable_models()
    found = [MODELS["compact-x4"], mine, known["BSRGAN"], known["RealESRGAN_x4plus"], known["RealESRNet_x4plus"]]
    assert [state_of(model) for model in found] == ["house", "added", "here", "", ""]
    both = sum((store / f"mine{suffix}").stat().st_size for suffix in (".param", ".bin"))
    assert [bytes_of(model) for model in found[1:]] == [both, 20, 67040989, None]


def test_facts_of_a_model_that_is_not_here_are_those_of_the_catalog() -> None:
    found = facts("realesrnet-X4plus")
    assert (found.name, found.path, found.sha256, found.sha256_from) == ("RealESRNet_x4plus", None, None, "unknown")
    assert (found.family, found.scale, found.parameters, found.problem) == ("rrdb", 4, None, None)
    assert facts("BSRGAN").sha256_from == "catalog"


def test_facts_of_a_bundled_model_follow_from_its_network() -> None:
    found = facts("srvgg-x4")
    assert (found.family, found.scale, found.in_channels, found.out_channels) == ("compact", 4, 3, 3)
    assert (found.parameters, found.receptive_field) == (126_160, 14)  # 32 wide, 14 convolutions of 3 x 3
    assert found.macs_per_pixel == 9 * (3 * 32 + 12 * 32 * 32 + 32 * 48)
    assert found.sha256 == MODELS["srvgg-x4"].files[0].sha256


def test_facts_of_a_file(tmp_path: Path) -> None:
    path = compact_file(tmp_path / "file.safetensors", 2)
    found = facts(str(path))
    assert (found.name, found.license, found.family, found.scale) == ("file.safetensors", "unknown", "compact", 2)
    assert (found.sha256, found.bytes) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    with pytest.raises(ModelError, match="no such file"):
        facts(str(tmp_path / "none.pth"))


@pytest.mark.parametrize("half", [".param", ".bin"])
def test_facts_of_an_ncnn_model_are_of_both_its_files(tmp_path: Path, half: str) -> None:
    path = bilinear_x2(tmp_path)
    both = [path, path.with_suffix(".bin")]
    found = facts(str(path.with_suffix(half)))
    assert found.bytes == sum(file.stat().st_size for file in both) and found.receptive_field == 3
    expected = [(str(file), file.stat().st_size, hashlib.sha256(file.read_bytes()).hexdigest()) for file in both]
    assert [(file.path, file.bytes, file.sha256) for file in found.files] == expected


def test_a_network_that_sees_the_whole_picture_has_no_receptive_field(tmp_path: Path) -> None:
    """A part of the global mean is added to each pixel, as attention by channel does."""
    mean = [
        "Pooling mean 1 1 a m 0=1 4=1",
        "BinaryOp less 1 1 m l 0=2 1=1 2=0.02",
        "Reshape r 1 1 l n 0=1 1=1 2=3",
        "Convolution c 1 1 b d 0=3 1=1 5=0 6=9",
    ]
    path = write(
        tmp_path,
        ["Input in 0 1 in", "Split s 1 2 in a b", *mean, "BinaryOp add 2 1 d n out 0=0"],
        tagged(np.eye(3).reshape(3, 3, 1, 1)),
    )
    found = facts(str(path))
    assert (found.receptive_field, found.sees_whole_picture) == (None, True)


def test_a_file_of_the_catalog_is_known_by_its_hash(assets: Path, tmp_path: Path) -> None:
    other = tmp_path / "renamed.bin.pth"
    other.write_bytes((assets / "weights" / "realesr-animevideov3.pth").read_bytes())
    found = facts(str(other))
    assert (found.name, found.license, found.scale, found.receptive_field) == (
        "realesr-animevideov3",
        "BSD-3-Clause",
        4,
        18,
    )
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((BUNDLED / "compact-x2.safetensors").read_bytes())
    assert facts(str(copy)).name == "compact-x2"


def test_what_was_found_in_a_file_that_is_none_of_ours_is_told_with_its_hash(tmp_path: Path) -> None:
    strange = tmp_path / "strange.safetensors"
    write_safetensors(strange, {"attn.qkv.weight": np.ones((3, 5), np.float32)}, {})
    found = facts(str(strange))
    assert found.problem is not None and "attn.qkv.weight" in found.problem
    assert found.sha256 == hashlib.sha256(strange.read_bytes()).hexdigest() and found.family is None
    page = tmp_path / "page.pth"
    page.write_bytes(b"<!DOCTYPE html>")
    assert "it is a web page" in (facts(str(page)).problem or "")


def test_facts_of_a_file_that_is_not_what_it_should_be(store: Path) -> None:
    (store / "BSRGAN.pth").write_bytes(b"other")
    found = facts("BSRGAN")
    assert found.problem is not None and "has 5 bytes, expected 67046751" in found.problem
    assert (found.sha256, found.sha256_from) == (hashlib.sha256(b"other").hexdigest(), "computed")


def checks() -> dict[str, FileCheck]:
    return {check.name: check for check in verify()}


def test_everything_that_is_here_is_hashed_again(tmp_path: Path, store: Path) -> None:
    add(str(compact_file(tmp_path / "mine.safetensors")))
    (store / "RealESRNet_x4plus.pth").write_bytes(b"first")
    found = checks()
    assert set(found) == {*MODELS, "mine", "RealESRNet_x4plus"}
    assert all(check.sound for check in found.values())
    assert found["RealESRNet_x4plus"].note == "no checksum known: pinned as it is now"
    assert checks()["RealESRNet_x4plus"].note == "as pinned at its first download"


def test_what_changed_is_found(tmp_path: Path, store: Path) -> None:
    add(str(compact_file(tmp_path / "mine.safetensors")))
    add(str(compact_file(tmp_path / "torn.safetensors", seed=3)))
    add(str(compact_file(tmp_path / "gone.safetensors", seed=4)))
    (store / "RealESRNet_x4plus.pth").write_bytes(b"first")
    checks()
    (store / "RealESRNet_x4plus.pth").write_bytes(b"later")
    (store / "BSRGAN.pth").write_bytes(b"torn")
    (store / "mine.safetensors").write_bytes(b"x" * (store / "mine.safetensors").stat().st_size)
    (store / "torn.model.json").write_text("{")
    (store / "gone.safetensors").unlink()
    wrong = {name: check.note for name, check in checks().items() if not check.sound}
    assert set(wrong) == {"mine", "torn", "gone", "BSRGAN", "RealESRNet_x4plus"}
    assert "has the SHA-256" in wrong["mine"] and "has the SHA-256" in wrong["RealESRNet_x4plus"]
    assert (
        "is not a record" in wrong["torn"]
        and "does not exist" in wrong["gone"]
        and "expected 67046751" in wrong["BSRGAN"]
    )
