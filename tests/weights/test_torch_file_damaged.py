"""Torch files that are damaged, or made to do harm, are refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.weights.test_torch_file import CONTAINERS, random_state, repacked, saved
from upres.errors import ModelError
from upres.weights.read import parse_weights, read_weights
from upres.weights.zip_entries import MAX_ENTRIES


@CONTAINERS
def test_many_views_of_one_storage_are_a_size_bomb(new: bool) -> None:
    base = torch.zeros(100_000)
    bomb = {f"w{index}": base[index:] for index in range(100)}
    with pytest.raises(ModelError, match=r"tensors claim [\d,]+ bytes, but the whole file has [\d,]+: they overlap"):
        parse_weights(saved(bomb, new=new), "model.pth")
    tied = {f"w{index}": base for index in range(100)}
    with pytest.raises(ModelError, match="they overlap, or it is a size bomb"):
        parse_weights(saved(tied, new=new), "model.pth")


def test_a_deflated_size_bomb_is_refused_before_it_unpacks() -> None:
    bomb = repacked(saved({"w": torch.zeros(4_000_000)}), lambda _, content: content, method=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(ModelError, match=r"unpack to 16,\d+,\d+ bytes, but the whole file has [\d,]+: a size bomb"):
        parse_weights(bomb, "bomb.pth")


def test_an_entry_that_unpacks_to_more_than_it_says_is_refused() -> None:
    data = saved({"w": torch.zeros(100)})
    size = 16_000_000
    bomb = repacked(
        data, lambda name, content: bytes(size) if name.endswith("data/0") else content, method=zipfile.ZIP_DEFLATED
    )
    assert bomb.count(struct.pack("<L", size)) == 2  # in the entry and in the directory
    lie = bomb.replace(struct.pack("<L", size), struct.pack("<L", 400))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"entry '.*data/0' is damaged: size or checksum"):
            parse_weights(lie, "bomb.pth")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_two_entries_of_one_name_are_refused() -> None:
    buffer = io.BytesIO(saved(random_state()))
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(archive.namelist()[0], b"other")
    with pytest.raises(ModelError, match="two entries of the same name"):
        parse_weights(buffer.getvalue(), "model.pth")


def test_two_entries_on_the_same_bytes_are_refused() -> None:
    data = saved({"a": torch.ones(64), "b": torch.ones(64)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        places = {info.filename[-6:]: info.header_offset for info in archive.infolist()}
    first, second = (struct.pack("<L", places[f"data/{index}"]) for index in "01")
    assert data.count(second) == 1  # in the directory
    with pytest.raises(ModelError, match=r"entry '.*data/[01]' overlaps another"):
        parse_weights(data.replace(second, first), "model.pth")


def test_a_huge_directory_is_refused_before_it_is_read() -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"
    directory = entry * (MAX_ENTRIES + 1)
    data = (
        b"PK\3\4"
        + bytes(26)
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 30, 0)
    )
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="a zip of 20,001 entries; expected at most 20,000"):
            parse_weights(data, "model.pth")
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_flipped_bit_anywhere_in_a_zip_is_noticed_or_harmless() -> None:
    """The checksums cover pickle and numbers; what a flip in the zip's own structure leaves readable must be what was
    saved.
    """
    state = {"w": torch.linspace(-1, 1, 12)}
    data = saved(state)
    noticed = 0
    for bit in range(0, len(data) * 8, 7):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            found = parse_weights(bytes(broken), "model.pth")
        except ModelError:
            noticed += 1
        else:
            assert list(found) == ["w"] and np.array_equal(found["w"], state["w"].numpy())
    assert noticed > 500


def test_a_damaged_storage_fails_its_checksum() -> None:
    data = saved({"w": torch.full((64,), 1.25)})
    numbers = np.full(64, 1.25, "<f4").tobytes()
    at = data.index(numbers)
    broken = data[: at + 5] + bytes([data[at + 5] ^ 1]) + data[at + 6 :]
    with pytest.raises(ModelError, match=r"entry '.*data/0' is damaged: size or checksum"):
        parse_weights(broken, "model.pth")


def test_a_missing_and_a_short_storage_are_named() -> None:
    data = saved({"w": torch.ones(64)})
    with pytest.raises(ModelError, match="storage '0' is missing"):
        parse_weights(repacked(data, lambda name, content: None if name.endswith("data/0") else content), "model.pth")
    with pytest.raises(ModelError, match="storage '0' should have 256 bytes, found 100"):
        parse_weights(
            repacked(data, lambda name, content: content[:100] if name.endswith("data/0") else content), "model.pth"
        )


def test_big_endian_files_are_refused() -> None:
    state = random_state()
    zipped = repacked(saved(state), lambda name, content: b"big" if name.endswith("byteorder") else content)
    stream = saved(state, new=False).replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    for data in (zipped, stream):
        with pytest.raises(ModelError, match=r"big-endian computer.*save it again"):
            parse_weights(data, "model.pth")


def test_archives_that_are_no_state_dict_are_named(tmp_path: Path) -> None:
    script = repacked(saved(random_state()), lambda _, content: content)
    buffer = io.BytesIO(script)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("archive/code/__torch__/net.py", "class Net: pass")
    with pytest.raises(ModelError, match="TorchScript archive"):
        parse_weights(buffer.getvalue(), "model.pt")
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with pytest.raises(ModelError, match="NumPy archive"):
        read_weights(tmp_path / "a.npz")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("model.pth", b"x")
    with pytest.raises(ModelError, match=r"not one that torch.save wrote: it holds 'model.pth'.*unpack it"):
        parse_weights(other.getvalue(), "model.zip")


def test_bytes_after_the_end_of_a_stream_are_refused() -> None:
    with pytest.raises(ModelError, match="4 bytes follow its last storage"):
        parse_weights(saved(random_state(), new=False) + b"more", "model.pth")
