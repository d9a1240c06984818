"""Shards: what is written is what is mapped; one flipped bit is seen; a killed writer leaves no set of shards."""

import errno
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from upres.errors import DataError, OutputError
from upres.training.data.shard_writer import ShardWriter, begin, strangers
from upres.training.data.shards import INDEX, Entry, is_shards, open_shards


def crops(channels: int = 3, dtype: type = np.uint8) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, np.iinfo(dtype).max + 1, (h, w, channels), dtype=dtype)
        for h, w in ((7, 5), (16, 16), (1, 1), (9, 33))
    ]


def written(folder: Path, images: list[np.ndarray], most_bytes: int = 2**20) -> list[Entry]:
    folder.mkdir(exist_ok=True)
    writer = ShardWriter(folder, images[0].shape[2], 8 * images[0].dtype.itemsize, most_bytes)
    entries = [writer.add(f"{i}.png", image, i, 2 * i) for i, image in enumerate(images)]
    writer.finish(entries[:-1], entries[-1:], {"note": "a test"})
    return entries


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint8), (3, np.uint16), (1, np.uint16)])
def test_what_is_written_is_mapped(tmp_path: Path, channels: int, dtype: type) -> None:
    images = crops(channels, dtype)
    written(tmp_path / "s", images)
    shards = open_shards(tmp_path / "s")
    assert (shards.channels, shards.depth) == (channels, 8 * np.dtype(dtype).itemsize)
    found = [*shards.crops, *shards.validation]
    assert [name for name, _ in found] == ["0.png", "1.png", "2.png", "3.png"] and len(shards.validation) == 1
    for (_, levels), image in zip(found, images, strict=True):
        assert np.array_equal(levels, image) and levels.dtype == dtype and not levels.flags.writeable
        base: object = levels
        while not isinstance(base, np.memmap):
            base = base.base  # type: ignore[attr-defined]


def test_16_bits_lie_in_the_file_as_little_endian(tmp_path: Path) -> None:
    written(tmp_path / "s", [np.array([[[258]]], np.uint16)])
    assert (tmp_path / "s" / "shard_0000.bin").read_bytes()[:2] == b"\x02\x01"


def test_shards_are_cut_at_their_size(tmp_path: Path) -> None:
    images = [np.full((10, 10, 3), i, np.uint8) for i in range(7)]  # 300 bytes, 320 with their padding
    entries = written(tmp_path / "s", images, most_bytes=700)
    assert [e.shard for e in entries] == [0, 0, 1, 1, 2, 2, 3] and all(e.offset % 64 == 0 for e in entries)
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == [INDEX, *(f"shard_{i:04d}.bin" for i in range(4))]
    assert all(
        np.array_equal(found, image)
        for (_, found), image in zip(open_shards(tmp_path / "s").crops, images, strict=False)
    )


def test_one_flipped_bit_is_seen(tmp_path: Path) -> None:
    written(tmp_path / "s", crops())
    path = tmp_path / "s" / "shard_0000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 4
    path.write_bytes(data)
    with pytest.raises(
        DataError, match=r"shard_0000\.bin is damaged: its SHA-256 does not match the index\. Make the shards again"
    ):
        open_shards(tmp_path / "s")
    assert open_shards(tmp_path / "s", verify=False).crops


def test_a_torn_or_missing_shard_is_seen_without_hashing(tmp_path: Path) -> None:
    written(tmp_path / "s", crops())
    path = tmp_path / "s" / "shard_0000.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"shard_0000\.bin: expected .* bytes, found .* bytes"):
        open_shards(tmp_path / "s", verify=False)
    path.unlink()
    with pytest.raises(DataError, match=r"shard_0000\.bin: expected .* bytes, found no such file"):
        open_shards(tmp_path / "s", verify=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda index: {**index, "channels": 1}, "is damaged: its content does not match its SHA-256"),
        (lambda index: {**index, "version": 2}, "has version 2, but this upres reads version 1"),
        (lambda index: {**index, "format": "other"}, "is not an index of shards"),
        (lambda index: [], "is not an index of shards"),
    ],
)
def test_a_changed_index_is_refused(tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    written(tmp_path / "s", crops())
    path = tmp_path / "s" / INDEX
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=words):
        open_shards(tmp_path / "s")
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DataError, match="cannot be read"):
        open_shards(tmp_path / "s")


def test_without_an_index_it_is_no_set_of_shards_and_the_next_run_clears_it(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    begin(folder)
    writer = ShardWriter(folder, 3, 8, 500)
    for image in (np.zeros((10, 10, 3), np.uint8),) * 3:
        writer.add("a", image)
    writer.abandon()  # as after kill -9, but for the file that is closed
    (folder / f".{INDEX}.0123abcd.partial").write_bytes(b"{")  # killed while the index was written
    assert not is_shards(folder) and strangers(folder) == [] and len(list(folder.iterdir())) == 5
    begin(folder)
    assert len(list(folder.iterdir())) == 1 and strangers(folder) == []
    written(folder, crops())
    assert sorted(path.name for path in folder.iterdir()) == [INDEX, "shard_0000.bin"]


@pytest.mark.parametrize("name", ["shard_0001.bin", INDEX, "letter.txt", ".shard_0000.partial"])
def test_what_somebody_else_made_is_a_stranger(tmp_path: Path, name: str) -> None:
    """Large language models, for one, come as shards with an index, too."""
    (tmp_path / name).write_text("{}")
    assert strangers(tmp_path) == [name] and not is_shards(tmp_path / "none")
    if name == "letter.txt":
        begin(tmp_path)
        assert strangers(tmp_path) == [name] and (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"channels": 2}, "expected 1 or 3 channels of 8 or 16 bits, found 2 of 8"),
        ({"crops": [["a", 0, 0, 7, 10**6, 0, 0, 1.0]]}, "lies outside"),
        ({"crops": [["a", -1, 0, 1, 1, 0, 0, 1.0]]}, "lies outside"),
        ({"crops": [["a", 9, 0, 1, 1, 0, 0, 1.0]]}, "does not match its shards"),
        ({"crops": [["a"]]}, "does not match its shards"),
        ({"shards": None}, "does not match its shards"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_whatever_its_hash(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    written(tmp_path / "s", crops())
    path = tmp_path / "s" / INDEX
    body = {**json.loads(path.read_text()), **change}
    del body["sha256"]
    body["sha256"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(body))
    with pytest.raises(DataError, match=words):
        open_shards(tmp_path / "s")


def test_the_fingerprint_is_that_of_the_pixels(tmp_path: Path) -> None:
    images = crops()
    for name in "ab":
        written(tmp_path / name, images)
    images[0] = images[0] + np.uint8(1)
    written(tmp_path / "c", images)
    a, b, c = (open_shards(tmp_path / name).fingerprint for name in "abc")
    assert a == b != c


def test_a_full_disk_leaves_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    writer = ShardWriter(folder, 3, 8, 500)

    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_write", full)
    with pytest.raises(OutputError, match="the disk is full"):
        writer.add("a", np.zeros((10, 10, 3), np.uint8))
    writer.abandon()
    assert not is_shards(folder)


def test_a_set_that_is_replaced_stays_whole_until_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"
    written(folder, crops())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    begin(folder)
    writer = ShardWriter(folder, 3, 8, 500)
    for image in (np.zeros((10, 10, 3), np.uint8),) * 3:
        writer.add("a", image)
    assert is_shards(folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="the disk is full"):
            writer.finish([], [], {})
    writer.abandon()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    open_shards(folder)

    begin(folder)  # and one that was killed leaves it whole too
    killed = ShardWriter(folder, 3, 8, 500)
    killed.add("a", np.zeros((10, 10, 3), np.uint8))
    assert killed._file is not None  # pyright: ignore[reportPrivateUsage]
    killed._file.close()  # pyright: ignore[reportPrivateUsage]
    open_shards(folder)
    written(folder, crops()[:1])
    assert len(open_shards(folder).validation) == 1
    assert sorted(path.name for path in folder.iterdir()) == [INDEX, "shard_0000.bin"]
