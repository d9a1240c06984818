from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upres.errors import DataError
from upres.images.resize import imresize
from upres.training.data.images import (
    Pair,
    center,
    convert,
    draw_weights,
    find_pictures,
    load_pairs,
    make_pair,
    read_levels,
    read_rgb,
)


def _picture(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from upres.images.io import Picture, write_picture

    (tmp_path / "below").mkdir()
    for i, name in enumerate(("a.png", "below/b.png")):
        write_picture(Picture(_picture(i).astype(np.float32) / 255.0), tmp_path / name)
    write_picture(Picture(_picture(5)[:, :, :1].astype(np.float32) / 255.0), tmp_path / "gray.png")
    return tmp_path


def test_the_lr_is_the_matlab_resize_of_the_whole_picture(folder: Path) -> None:
    pairs, left_out = load_pairs(find_pictures(folder), scale=4, patch_px=8)
    assert left_out == [] and sorted(p.name for p in pairs) == ["a.png", "b.png", "gray.png"]
    first = next(p for p in pairs if p.name == "a.png")
    assert np.array_equal(first.hr, _picture(0)) and np.array_equal(first.lr, imresize(_picture(0), 0.25))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_hr_is_cropped_to_the_scale_before_it_is_reduced(scale: int) -> None:
    """Reduced as it is, its LR would be a row larger and shifted by a part of a pixel against it."""
    image = _picture(2, 4 * 12 - 1, 5 * 12 - 1)
    pair = make_pair("odd", image, scale)
    height, width = (side // scale for side in image.shape[:2])
    np.testing.assert_array_equal(pair.hr, image[: height * scale, : width * scale])
    np.testing.assert_array_equal(pair.lr, imresize(pair.hr, size=(height, width)))
    assert not np.array_equal(pair.lr, imresize(image, 1 / scale)[:height, :width])


def test_gray_is_repeated(folder: Path) -> None:
    image = read_rgb(folder / "gray.png")
    assert image.shape == (40, 52, 3) and np.array_equal(image[..., 0], image[..., 2])


def test_a_broken_picture_is_named_and_left_out(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"not a picture")
    pairs, left_out = load_pairs(find_pictures(folder), scale=2, patch_px=8)
    assert len(pairs) == 3 and len(left_out) == 1 and "broken.png" in left_out[0]


def test_pictures_smaller_than_a_patch_are_an_error_when_nothing_is_left(folder: Path) -> None:
    with pytest.raises(DataError, match="smaller than one patch of 192x192"):
        load_pairs(find_pictures(folder), scale=4, patch_px=48)


def test_reduced_copies_are_added(folder: Path) -> None:
    pairs, _ = load_pairs(find_pictures(folder), scale=2, patch_px=8, hr_scales=(1.0, 0.5))
    assert sorted({p.hr.shape[:2] for p in pairs}) == [(20, 26), (40, 52)]


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture"):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        find_pictures(tmp_path / "nowhere")


def test_levels_are_those_of_the_file(tmp_path: Path) -> None:
    from upres.images.io import Picture, write_picture

    deep = np.random.default_rng(3).integers(0, 65536, (20, 24, 1), dtype=np.uint16)
    write_picture(Picture((deep / 65535.0).astype(np.float32), depth=16), tmp_path / "deep.png")
    np.testing.assert_array_equal(read_levels(tmp_path / "deep.png"), deep)


def test_8_bits_are_widened_exactly_and_16_are_rounded_to_the_nearest() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    wide = convert(levels, 1, 16)
    assert wide.dtype == np.uint16
    np.testing.assert_array_equal(wide / 65535.0, levels / 255.0)
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    narrow = convert(every, 1, 8)
    assert narrow.dtype == np.uint8
    np.testing.assert_array_equal(narrow, np.rint(every / 257.0))
    np.testing.assert_array_equal(convert(wide, 1, 8), levels)
    assert convert(levels, 1, 8) is levels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_luma_of_gray_is_gray_and_that_of_color_is_bt_601(dtype: type) -> None:
    top = int(np.iinfo(dtype).max)
    gray = np.random.default_rng(0).integers(0, top + 1, (16, 16, 1)).astype(dtype)
    depth = 8 * np.dtype(dtype).itemsize
    np.testing.assert_array_equal(convert(convert(gray, 3, depth), 1, depth), gray)
    primaries = np.eye(3, dtype=dtype).reshape(1, 3, 3) * dtype(top)
    np.testing.assert_array_equal(convert(primaries, 1, depth)[0, :, 0], np.rint(np.array([0.299, 0.587, 0.114]) * top))


def test_pictures_of_one_channel_and_16_bits_make_such_pairs(folder: Path) -> None:
    pairs, _ = load_pairs(find_pictures(folder), scale=2, patch_px=8, channels=1, depth=16)
    assert {(pair.hr.dtype, pair.hr.shape[2], pair.stored_lr.dtype, pair.stored_lr.shape[2]) for pair in pairs} == {
        (np.dtype(np.uint16), 1, np.dtype(np.uint16), 1)
    }
    gray = next(pair for pair in pairs if pair.name == "gray.png")
    np.testing.assert_array_equal(gray.hr, _picture(5)[:, :, :1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(gray.lr, imresize(gray.hr, 0.5))


def test_chances_follow_the_side_and_not_the_area() -> None:
    pairs = [make_pair("small", _picture(0, 20, 20), 2), make_pair("large", _picture(0, 40, 80), 2)]
    assert draw_weights(pairs).tolist() == pytest.approx([1 / (1 + 8**0.5), 8**0.5 / (1 + 8**0.5)])
    assert draw_weights([Pair(pair.name, pair.hr, None) for pair in pairs]).tolist() == pytest.approx(
        draw_weights(pairs).tolist()
    )


def test_the_center_is_the_middle() -> None:
    rows = np.arange(10, dtype=np.uint8)[:, None, None].repeat(7, axis=1)
    assert center(rows, 4)[:, 0, 0].tolist() == [3, 4, 5, 6]
    assert center(rows, 20).shape == rows.shape
