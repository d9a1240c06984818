from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.tiny import compact, compact_file
from upres.errors import ModelError
from upres.models.integrity import check_file, check_weights
from upres.models.load import load_model
from upres.weights.read import read_weights


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "net.safetensors"
    save_file(dict(read_weights(compact_file(path, 2))), path)  # as others write it: without a hash inside
    return path


def flip(path: Path) -> None:
    """A bit of a weight, in the middle of the file; its date stays."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_flipped_bit_is_refused_at_the_next_use(file: Path) -> None:
    assert load_model(file).notes == ()
    assert load_model(file).notes == ()
    flip(file)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"its bytes have changed since its last use, but its date has not"):
            load_model(file)


def test_another_file_under_the_same_name_is_told_once(file: Path) -> None:
    load_model(file)
    flip(file)
    os.utime(file)
    (note,) = load_model(str(file)).notes
    assert "net.safetensors has changed since its last use (its SHA-256 was " in note
    assert load_model(str(file)).notes == ()


@pytest.mark.parametrize("content", [b"[" * 100_000, b"7", b"{}", b"\xff"])
def test_a_damaged_memory_is_forgotten(file: Path, content: bytes) -> None:
    check_file(file)
    (memory,) = (file.parent / "cache" / "used").iterdir()
    memory.write_bytes(content)
    assert check_file(file) in ((), (check_file(file)))
    assert check_file(file) == ()


def test_a_cache_that_cannot_be_written_is_no_error(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").touch()
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "blocked"))
    assert check_file(file) == ()
    flip(file)
    assert check_file(file) == ()


def test_the_report_beside_an_export_is_checked(file: Path) -> None:
    import hashlib

    entry = {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    report = file.with_suffix(".json")
    report.write_text(json.dumps({"tolerance": {}, "checks": [], "files": [entry]}))
    assert load_model(file).notes == ()
    flip(file)
    os.utime(file)
    with pytest.raises(ModelError, match=r"but net.json beside it says [0-9a-f]{64}: it is damaged or was replaced"):
        load_model(file)
    report.write_text(json.dumps({"files": [entry]}))  # of somebody else
    assert len(load_model(file).notes) == 1


def test_weights_of_which_a_half_is_zero_are_refused() -> None:
    rng = np.random.default_rng(0)
    weights = {f"{name}.weight": rng.random((64, 64, 3, 3), dtype=np.float32) for name in "abcd"}
    check_weights("net", weights)
    none = np.zeros((64, 64, 3, 3), np.float32)
    lost = {**weights, "c.weight": none, "d.weight": none}
    with pytest.raises(ModelError, match=r"model net: the last 73,728 of its 147,456 numbers are zero: a part of the"):
        check_weights("net", lost)
    with pytest.raises(ModelError, match=r"the first 73,728 of its 147,456 numbers are zero"):
        check_weights("net", dict(reversed(lost.items())))
    check_weights("net", {**weights, "d.weight": np.zeros((64, 64, 3, 3), np.float32)})
    check_weights("net", {"a": np.zeros(10_000, np.float32)})  # all of them: someone's choice, not half a loss


def test_the_networks_of_the_house_pass() -> None:
    assert compact(2).scale == 2
    assert load_model("compact-x4").notes == ()
