from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from tests import REPOSITORY
from upres.errors import DataError, OutputError
from upres.training import checkpoint as module
from upres.training.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints, read_checkpoint, save_checkpoint


def _make(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    return Checkpoint(
        step,
        {"net/a": rng.random((3, 4), np.float32), "adam/step/a": np.array(step, np.float32)},
        {"config": {"seed": 1}},
    )


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    saved = _make(7)
    read = read_checkpoint(save_checkpoint(tmp_path, saved, keep=2))
    assert read.step == 7 and read.facts == {"config": {"seed": 1}}
    for name, array in saved.tensors.items():
        assert read.tensors[name].shape == array.shape and read.tensors[name].tobytes() == array.tobytes()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 20):
        save_checkpoint(tmp_path, _make(step), keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_000000003.safetensors", "step_000000020.safetensors"]


@pytest.mark.parametrize("damage", ["torn", "flipped", "zero tail", "empty", "flipped hash", "text"])
def test_damage_is_noticed_and_the_one_before_is_used(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save_checkpoint(tmp_path, _make(1), keep=3)
    path = save_checkpoint(tmp_path, _make(2), keep=3)
    data = bytearray(path.read_bytes())
    if damage == "torn":
        data = data[: len(data) - 9]
    elif damage == "flipped":
        data[-5] ^= 1
    elif damage == "zero tail":
        data[-20:] = bytes(20)
    elif damage == "flipped hash":
        at = data.index(b'"sha256":"') + 12
        data[at] = ord("0") if data[at] != ord("0") else ord("1")
    else:
        data = bytearray(b"" if damage == "empty" else b"hello, this is no checkpoint")
    path.write_bytes(bytes(data))
    with pytest.raises(DataError):
        read_checkpoint(path)
    newest = latest_checkpoint(tmp_path)
    assert newest is not None and newest.step == 1
    assert "step_000000002" in caplog.text and "trying the previous one" in caplog.text


@pytest.mark.slow
def test_every_single_bit_flip_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _make(1), keep=1)
    whole = path.read_bytes()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(data))
        with pytest.raises(DataError):
            read_checkpoint(path)


@pytest.mark.parametrize("tail", ["missing", "zeros"])
def test_a_file_torn_anywhere_is_noticed(tmp_path: Path, tail: str) -> None:
    """Zeros: a crash that kept the length, but not the last blocks."""
    path = save_checkpoint(tmp_path, _make(1), keep=1)
    whole = path.read_bytes()
    for length in range(len(whole.rstrip(b"\0"))):
        path.write_bytes(whole[:length] + (bytes(len(whole) - length) if tail == "zeros" else b""))
        with pytest.raises(DataError):
            read_checkpoint(path)


def test_a_checkpoint_of_a_newer_format_is_refused_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Falling back to the older one before it would throw steps away without a word."""
    save_checkpoint(tmp_path, _make(1), keep=3)
    with monkeypatch.context() as newer:
        newer.setattr(module, "FORMAT", module.FORMAT + 1)
        save_checkpoint(tmp_path, _make(2), keep=3)
    words = rf"step_000000002\.safetensors has checkpoint format {module.FORMAT + 1}, .* up to {module.FORMAT}: upgrade"
    with pytest.raises(DataError, match=words):
        latest_checkpoint(tmp_path)


def test_a_checkpoint_without_a_format_is_read(tmp_path: Path) -> None:
    """Version 39c1a38 and those before it wrote none."""
    old = REPOSITORY / "tests" / "data" / "39c1a38" / "run" / "checkpoints" / "step_000000006.safetensors"
    assert b'\\"format\\"' not in old.read_bytes()
    before = read_checkpoint(old)
    again = save_checkpoint(tmp_path, before, keep=1)
    assert b'\\"format\\": 1' in again.read_bytes()
    assert read_checkpoint(again).facts == before.facts


def test_no_whole_checkpoint_is_an_error_and_none_at_all_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, _make(1), keep=1).write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 checkpoints"):
        latest_checkpoint(tmp_path)


def test_a_full_disk_keeps_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, _make(1), keep=1)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match="disk is full"):
        save_checkpoint(tmp_path, _make(2), keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["step_000000001.safetensors"]
