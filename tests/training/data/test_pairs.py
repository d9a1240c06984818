"""Pairs of files: found by name, refused where they do not fit, and their misalignment against scikit-image and closed
forms.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.data.test_training_set import CONFIG, levels, save
from upres.errors import DataError
from upres.images.resize import imresize
from upres.training.data.pairs import find_partners, misalignment, phase_shift, words_of_shifts
from upres.training.data.roots import Root
from upres.training.data.training_set import load_training_set


def smooth(seed: int, height: int, width: int) -> np.ndarray:
    """A periodic picture without the highest frequencies, so that it may be moved by parts of a pixel exactly."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((height, width)))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    return np.fft.ifft2(spectrum * (radius < 0.4)).real


def moved(image: np.ndarray, down: float, right: float) -> np.ndarray:
    """By the shift theorem."""
    rows, columns = np.fft.fftfreq(image.shape[0])[:, None], np.fft.fftfreq(image.shape[1])
    return np.fft.ifft2(np.fft.fft2(image) * np.exp(-2j * np.pi * (rows * down + columns * right))).real


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -5.0), (0.25, 0.0), (-0.37, 1.62), (-11.48, 0.03)])
def test_a_shift_of_parts_of_a_pixel_is_found(shift: tuple[float, float]) -> None:
    skimage = pytest.importorskip("skimage.registration")
    first = smooth(0, 48, 61)
    second = moved(first, *shift) + 0.01 * np.random.default_rng(1).standard_normal(first.shape)
    found = phase_shift(first, second)
    assert found == pytest.approx(shift, abs=0.02)
    theirs = skimage.phase_cross_correlation(first, second, upsample_factor=100)[0]
    # theirs is what moves the second onto the first
    assert found == pytest.approx([-value for value in theirs], abs=0.0101)


def photograph(height: int = 128, width: int = 160) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    image = np.zeros((height, width, 3))
    rng = np.random.default_rng(0)
    for _ in range(60):
        center_y, center_x, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(3, 25)
        image[(y - center_y) ** 2 + (x - center_x) ** 2 < radius**2] = rng.integers(20, 236, 3)
    return image.astype(np.uint8)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (4, 0), (-2, 1), (0, 3)])
def test_misalignment_is_told_in_lr_pixels(down: int, right: int) -> None:
    """HR moved by whole pixels moves LR by quarters of one; noise and another kernel hide nothing (the window holds it
    back a little).
    """
    whole = photograph()
    hr = whole[16:112, 16:144]
    shifted = whole[16 - down : 112 - down, 16 - right : 144 - right]
    lr = imresize(shifted.astype(np.float64), 0.25, kernel="lanczos") + np.random.default_rng(2).normal(
        0, 2, (24, 32, 3)
    )
    found = misalignment(hr, np.clip(np.rint(lr), 0, 255).astype(np.uint8), 4)
    assert found == pytest.approx((down / 4, right / 4), abs=0.1)


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_move_a_picture(seed: int) -> None:
    """A deviation of 25 of 255: the phases of most frequencies are random."""
    hr = photograph()
    lr = imresize(hr[:, :, :1].repeat(3, axis=2).astype(np.float64), 0.25) + np.random.default_rng(seed).normal(
        0, 25, (32, 40, 3)
    )
    found = misalignment(hr[:, :, :1].repeat(3, axis=2), np.clip(np.rint(lr), 0, 255).astype(np.uint8), 4)
    assert found is not None and np.hypot(*found) < 0.2


def test_a_flat_picture_has_no_misalignment() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert misalignment(flat, flat[::2, ::2], 2) is None


def make_pairs(folder: Path, count: int = 4, scale: int = 2, suffix: str = "x2") -> list[Root]:
    for i in range(count):
        hr = levels(i)
        save(folder / "hr" / "in" / f"{i:04}.png", hr)
        save(folder / "lr" / "in" / f"{i:04}{suffix}.png", imresize(hr, 1.0 / scale))
    return [Root(folder / "hr", folder / "lr")]


def test_pairs_are_read_as_they_are(tmp_path: Path) -> None:
    roots = make_pairs(tmp_path)
    special = np.random.default_rng(9).integers(0, 256, (20, 26, 3), dtype=np.uint8)
    save(tmp_path / "lr" / "in" / "0002x2.png", special)
    found = load_training_set(CONFIG, roots, None)
    assert found.paired and [pair.name for pair in found.validation] == ["0000.png"]
    assert [pair.name for pair in found.pairs] == ["0001.png", "0002.png", "0003.png"]
    np.testing.assert_array_equal(found.pairs[1].stored_lr, special)
    np.testing.assert_array_equal(found.pairs[1].hr, levels(2))
    assert "LR files are" in found.notes[0] and "warning" in found.notes[1] and "(0002.png)" in found.notes[1]
    fingerprint = found.fingerprint
    save(tmp_path / "lr" / "in" / "0002x2.png", special[::-1])
    assert load_training_set(CONFIG, roots, None).fingerprint != fingerprint


def test_validation_pairs_are_cut_on_the_lr_grid(tmp_path: Path) -> None:
    from upres.training.data.images import Pair
    from upres.training.data.pairs import center_pair

    lr = levels(0, 31, 40)
    pair = Pair("a", lr.repeat(3, axis=0).repeat(3, axis=1), lr)
    cut = center_pair(pair, 60, 3)
    assert cut.stored_lr.shape[:2] == (20, 20)
    np.testing.assert_array_equal(cut.hr, cut.stored_lr.repeat(3, axis=0).repeat(3, axis=1))
    np.testing.assert_array_equal(cut.stored_lr, lr[5:25, 10:30])
    shown = load_training_set(CONFIG, [Root(make_pairs(tmp_path)[0].hr)], make_pairs(tmp_path))
    assert len(shown.validation) == 4 and not shown.paired


def test_everything_that_does_not_match_is_named_before_the_first_step(tmp_path: Path) -> None:
    (root,) = make_pairs(tmp_path, 6)
    assert root.lr is not None
    assert [(hr.name, lr.name) for hr, lr in find_partners(root.hr, root.lr, 2)[0]][1] == ("0001.png", "0001x2.png")
    (root.lr / "in" / "0001x2.png").unlink()
    (root.hr / "in" / "0002.png").unlink()
    save(root.lr / "in" / "0003x2.png", levels(3, 20, 25))
    save(root.lr / "in" / "0004_LR.png", levels(3, 20, 26))
    with pytest.raises(DataError) as caught:
        load_training_set(CONFIG, [root], None)
    words = str(caught.value)
    assert f"{root.hr} and {root.lr} do not match at x2" in words
    for part in (
        "0001.png has no LR picture", "0002x2.png has no HR picture",
        "0003.png is 52 x 40, so LR must be 26 x 20, but it is 25 x 20",
        f"0004.png matches several LR pictures in {root.lr}: 0004_LR.png, 0004x2.png",
    ):  # fmt: skip
        assert part in words
    assert words.count("\n  ") == 4


@pytest.mark.parametrize("lr_size", [(64, 65), (65, 66)])
def test_hr_is_cropped_to_a_multiple_of_the_scale(tmp_path: Path, lr_size: tuple[int, int]) -> None:
    """Both ways of rounding 129 x 131 at x2: the common part is trained on, which is said once."""
    hr, lr = levels(0, 129, 131), levels(1, *lr_size)
    save(tmp_path / "hr" / "a.png", hr)
    save(tmp_path / "lr" / "a.png", lr)
    found = load_training_set(CONFIG, [Root(tmp_path / "hr", tmp_path / "lr")], None)
    (pair,) = found.pairs
    np.testing.assert_array_equal(pair.hr, hr[:128, :130])
    np.testing.assert_array_equal(pair.stored_lr, lr[:64, :65])
    assert found.notes[0].endswith("1 of 1 pairs are cropped to multiples of 2, top left kept (a.png)")


def test_words_of_shifts() -> None:
    assert words_of_shifts([]) == []
    assert words_of_shifts([("a", 0.1), ("b", 0.2)]) == [
        "LR files are 0.15 LR pixels off their HR files on average, 0.20 at most (b)"
    ]
    assert (
        "1 of 2 LR files are more than 0.25 LR pixels off their HR files (b)"
        in words_of_shifts([("a", 0.1), ("b", 0.3)])[1]
    )
