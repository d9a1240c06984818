from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upres.errors import DataError
from upres.resize import imresize
from upres.training.data import draw_batch, draw_weights, find_pictures, load_pairs, make_pair, read_rgb


def _picture(seed: int, height: int = 40, width: int = 52) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from upres.picture import Picture, write_picture

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


def test_patches_are_aligned_and_cover_all_eight_turns() -> None:
    # Each HR pixel holds the LR position that it belongs to, so that a wrong crop or an unequal flip shows at once.
    scale, patch = 3, 8
    rows, columns = np.mgrid[0:20, 0:24].astype(np.uint8)
    lr = np.stack([rows, columns, np.zeros_like(rows)], axis=2)
    hr = lr.repeat(scale, 0).repeat(scale, 1)
    pair = make_pair("p", hr, 1)
    pair = type(pair)("p", hr, lr)
    turns = set()
    for step in range(40):
        small, large = draw_batch([pair], np.ones(1), scale=scale, patch_px=patch, batch=4, seed=0, step=step)
        assert np.array_equal(small.repeat(scale, 1).repeat(scale, 2), large)
        for s in small.astype(int):
            turns.add((tuple(s[1, 0] - s[0, 0]), tuple(s[0, 1] - s[0, 0])))
    assert len(turns) == 8


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    pairs = [make_pair(str(i), _picture(i), 2) for i in range(3)]
    options = {"scale": 2, "patch_px": 8, "batch": 4}
    first = draw_batch(pairs, draw_weights(pairs), seed=1, step=7, **options)
    draw_batch(pairs, draw_weights(pairs), seed=1, step=8, **options)
    again = draw_batch(pairs, draw_weights(pairs), seed=1, step=7, **options)
    other = draw_batch(pairs, draw_weights(pairs), seed=2, step=7, **options)
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_recoloured_patches_are_still_pairs() -> None:
    """The LR of a whole picture that is permuted and inverted is the permuted and inverted LR, but for ties in rounding."""
    image = _picture(3, 64, 64)
    pair = make_pair("p", image, 4)
    options = {"scale": 4, "patch_px": 16, "batch": 8, "seed": 0, "step": 0}
    plain = draw_batch([pair], np.ones(1), **options)
    lr, hr = draw_batch([pair], np.ones(1), color_augment=1.0, **options)
    changed = 0
    for i in range(8):
        difference = np.abs(imresize(hr[i], 0.25).astype(int) - lr[i].astype(int))
        assert difference.max() <= 1 and np.count_nonzero(difference) < difference.size / 50
        changed += not np.array_equal(hr[i], plain[1][i])
    assert changed >= 6


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
