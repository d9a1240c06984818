"""Folders, several roots, weights, held-out pictures, and how gray, color, 8 and 16 bits come together."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from upres.errors import DataError, UsageError
from upres.images.io import Picture, write_picture
from upres.images.resize import imresize
from upres.training.config import TrainConfig
from upres.training.data.images import draw_weights, load_pairs
from upres.training.data.roots import Root
from upres.training.data.shard_writer import ShardWriter
from upres.training.data.training_set import load_training_set

CONFIG = TrainConfig(recipe="test", scale=2, patch_px=8, hr_scales=(1.0,))


def levels(seed: int, height: int = 40, width: int = 52, channels: int = 3, depth: int = 8) -> np.ndarray:
    dtype = np.uint8 if depth == 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 1 << depth, (height, width, channels)).astype(dtype)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    depth = 8 * image.dtype.itemsize
    write_picture(Picture((image / float((1 << depth) - 1)).astype(np.float32), depth=depth), path)


def fill(folder: Path, count: int, first: int = 0, **kind: int) -> Path:
    for i in range(first, first + count):
        save(folder / f"{i:02}.png", levels(i, **kind))
    return folder


def test_one_plain_folder_is_what_it_was(tmp_path: Path) -> None:
    """Pictures, chances and fingerprint of a run are those of the version before there were several roots."""
    folder = fill(tmp_path, 9)
    found = load_training_set(dataclasses.replace(CONFIG, hr_scales=(1.0, 0.5)), folder, None)
    held_out = [f"{9 * i // 2:02}.png" for i in range(2)]
    assert [pair.name for pair in found.validation] == held_out
    paths = [path for path in sorted(folder.iterdir()) if path.name not in held_out]
    pairs, _ = load_pairs(paths, scale=2, patch_px=8, hr_scales=(1.0, 0.5))
    assert [pair.name for pair in found.pairs] == [pair.name for pair in pairs]
    assert all(
        np.array_equal(a.hr, b.hr) and np.array_equal(a.stored_lr, b.stored_lr)
        for a, b in zip(found.pairs, pairs, strict=True)
    )
    np.testing.assert_array_equal(found.weights, draw_weights(pairs))
    state = hashlib.sha256()
    for pair in pairs:
        state.update(f"{pair.name}|{pair.hr.shape}|".encode() + pair.hr.tobytes())
    assert found.fingerprint == state.hexdigest()
    assert (found.channels, found.depth, found.paired, found.notes) == (3, 8, False, ())


def test_a_weight_is_the_chance_of_a_root_whatever_it_holds(tmp_path: Path) -> None:
    few, many = fill(tmp_path / "few", 3), fill(tmp_path / "many", 3, 3, height=80)
    fill(tmp_path / "many", 4, 6)
    roots = [Root(few, weight=3.0), Root(many, weight=1.0)]
    found = load_training_set(CONFIG, roots, few)
    assert [pair.name for pair in found.pairs] == [f"{i:02}.png" for i in range(10)]
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.weights[:3].tolist() == pytest.approx([0.25] * 3)
    assert found.weights[3:].sum() == pytest.approx(0.25)
    assert found.weights[3] / found.weights[9] == pytest.approx(2.0**0.5)
    other = load_training_set(CONFIG, [Root(few, weight=2.0), Root(many)], few)
    assert other.fingerprint != found.fingerprint


def test_with_a_degradation_lr_is_made_later_but_for_validation(tmp_path: Path) -> None:
    folder = fill(tmp_path, 4)
    config = dataclasses.replace(CONFIG, degradation="real-esrgan")
    found = load_training_set(config, folder, None)
    assert all(pair.lr is None for pair in found.pairs)
    np.testing.assert_array_equal(found.weights, load_training_set(CONFIG, folder, None).weights)
    shown = found.validation[0]
    np.testing.assert_array_equal(shown.stored_lr, imresize(shown.hr, 0.5))
    with pytest.raises(UsageError, match="degradation=real-esrgan, which makes LR from HR"):
        load_training_set(config, [Root(folder, folder)], None)
    with pytest.raises(UsageError, match="`validation_lr"):
        load_training_set(config, folder, [Root(folder, folder)])


def test_gray_data_are_gray_and_16_bits_are_16(tmp_path: Path) -> None:
    gray = load_training_set(CONFIG, fill(tmp_path / "gray", 4, channels=1), None)
    assert (gray.channels, gray.depth) == (1, 8) and {pair.hr.shape[2] for pair in [*gray.pairs, *gray.validation]} == {
        1
    }
    assert "gray" in str(gray)
    fill(tmp_path / "deep", 3)
    deep = fill(tmp_path / "deep", 1, 3, depth=16)
    found = load_training_set(CONFIG, deep, None)
    assert (found.channels, found.depth) == (3, 16) and "16 bit" in str(found)
    assert {pair.hr.dtype for pair in [*found.pairs, *found.validation]} == {np.dtype(np.uint16)}
    np.testing.assert_array_equal(found.pairs[0].hr, levels(1).astype(np.uint16) * 257)
    np.testing.assert_array_equal(found.pairs[2].hr, levels(3, depth=16))
    narrow = load_training_set(dataclasses.replace(CONFIG, bits=8), deep, None)
    np.testing.assert_array_equal(narrow.pairs[2].hr, np.rint(levels(3, depth=16) / 257.0))


def test_gray_and_color_are_not_mixed_without_a_word(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    fill(tmp_path, 1, 3, channels=1)
    with pytest.raises(DataError, match=r"03\.png is gray, .*00\.png is color\. Set channels=3 .* or channels=1"):
        load_training_set(CONFIG, tmp_path, None)
    color = load_training_set(dataclasses.replace(CONFIG, channels=3), tmp_path, tmp_path)
    np.testing.assert_array_equal(color.pairs[3].hr, levels(3, channels=1).repeat(3, axis=2))
    luma = load_training_set(dataclasses.replace(CONFIG, channels=1), tmp_path, tmp_path)
    np.testing.assert_allclose(luma.pairs[0].hr[:, :, 0], levels(0) @ [0.299, 0.587, 0.114], atol=0.502)
    # the pictures to validate on may be mixed
    validated = load_training_set(CONFIG, fill(tmp_path / "color", 1), [Root(tmp_path)])
    assert {pair.hr.shape[2] for pair in validated.validation} == {3}


def test_a_validation_picture_that_is_too_small_on_the_grid_is_left_out_by_name(tmp_path: Path) -> None:
    """32 pixels are 30 on the grid of x3: too few to be measured. The run goes on without that picture."""
    photographs, shown = fill(tmp_path / "photographs", 3), fill(tmp_path / "shown", 1)
    for i, side in enumerate((2, 32, 33)):
        save(shown / f"small{i}.png", levels(i, side, side))
    config = dataclasses.replace(CONFIG, scale=3)
    found = load_training_set(config, photographs, shown)
    assert [pair.name for pair in found.validation] == ["00.png", "small2.png"]
    assert (
        len(found.left_out) == 2
        and "small1.png is 32x32, too small to validate on at x3: at least 33 pixels" in found.left_out[1]
    )


def shard(folder: Path, crops: list[np.ndarray], validation: list[np.ndarray]) -> Path:
    folder.mkdir()
    writer = ShardWriter(folder, crops[0].shape[2], 8 * crops[0].dtype.itemsize, 1 << 20)
    entries = [writer.add(f"{i}.png", image) for i, image in enumerate([*crops, *validation])]
    writer.finish(entries[: len(crops)], entries[len(crops) :], {})
    return folder


def test_shards_are_mapped_and_their_lr_is_made_later(tmp_path: Path) -> None:
    crops = [levels(i, 41, 50) for i in range(3)] + [levels(9, 15, 40)]
    folder = shard(tmp_path / "shards", crops, [levels(7, 64, 64)])
    found = load_training_set(CONFIG, folder, None)
    assert [pair.name for pair in found.pairs] == ["0.png", "1.png", "2.png"] and "1 of 4 crops" in found.left_out[0]
    for pair, crop in zip(found.pairs, crops, strict=False):
        assert pair.lr is None and not pair.hr.flags.owndata and not pair.hr.flags.writeable
        np.testing.assert_array_equal(pair.hr, crop[:40])  # on the grid of x2
    (shown,) = found.validation
    np.testing.assert_array_equal(shown.hr, levels(7, 64, 64))
    np.testing.assert_array_equal(shown.stored_lr, imresize(shown.hr, 0.5))
    other = load_training_set(CONFIG, shard(tmp_path / "others", crops[::-1], []), fill(tmp_path / "plain", 1))
    assert other.fingerprint != found.fingerprint and len(other.validation) == 1
    with pytest.raises(DataError, match="hold no validation pictures"):
        load_training_set(CONFIG, folder, [Root(tmp_path / "others")])
    with pytest.raises(UsageError, match="holds shards, whose LR is made from HR"):
        load_training_set(CONFIG, [Root(folder, folder)], None)


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    folder = shard(tmp_path / "shards", [levels(0)], [])
    data = bytearray((folder / "shard_0000.bin").read_bytes())
    data[100] ^= 1
    (folder / "shard_0000.bin").write_bytes(data)
    with pytest.raises(DataError, match=r"shard_0000\.bin is damaged"):
        load_training_set(CONFIG, folder, None)


def test_shards_and_folders_go_together(tmp_path: Path) -> None:
    """And where their depth differs crops are widened in memory, with a word."""
    shards = shard(tmp_path / "shards", [levels(0), levels(1)], [levels(2)])
    deep = fill(tmp_path / "deep", 4, 4, depth=16)
    config = dataclasses.replace(CONFIG, hr_scales=(1.0, 0.5))
    found = load_training_set(config, [Root(shards, weight=3.0), Root(deep)], None)
    assert found.depth == 16 and found.weights[:2].sum() == pytest.approx(0.75)
    np.testing.assert_array_equal(found.pairs[0].hr, levels(0).astype(np.uint16) * 257)
    assert [pair.lr is None for pair in found.pairs] == [True] * 2 + [False] * 6
    assert [pair.name for pair in found.validation] == ["2.png", "04.png"]
    assert (
        "channels of 8 bits to 3 of 16, in memory" in found.notes[0]
        and "hr_scales does not apply to shards" in found.notes[1]
    )
    fill(tmp_path / "gray", 1, channels=1)
    with pytest.raises(DataError, match="gray and color pictures are mixed"):
        load_training_set(CONFIG, [Root(shards), Root(tmp_path / "gray")], None)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a", 2)
    (folder / "broken.png").write_bytes((folder / "00.png").read_bytes()[:200])
    (folder / "none.png").write_bytes(b"none")
    found = load_training_set(CONFIG, folder, folder)
    named = [name for name in ("broken.png", "none.png", "00.png") if any(name in words for words in found.left_out)]
    assert named == ["broken.png", "none.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        load_training_set(CONFIG, [Root(folder), Root(tmp_path / "empty")], None)
    with pytest.raises(
        DataError, match=r"none of the pictures can be used for training:\n.*smaller than one patch of 80x80"
    ):
        load_training_set(dataclasses.replace(CONFIG, patch_px=40), [Root(folder)], None)


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are Unicode")
def test_names_whose_bytes_are_not_utf8_are_names(tmp_path: Path) -> None:
    folder = fill(tmp_path / os.fsdecode(b"la\xe9tin"), 2)
    first = min(folder.iterdir())
    first.rename(folder / os.fsdecode(b"\xe9.png"))
    found = load_training_set(CONFIG, folder, folder)
    assert "\udce9.png" in [pair.name for pair in found.pairs] and len(found.fingerprint) == 64
