"""Copies are found whatever was done to them; different photographs are not called copies."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from scipy import fft

from tests.training.made import draw_photographs
from upres.degradation.codecs import recode
from upres.images.resize import imresize
from upres.training.data.duplicates import Signature, find_duplicates, perceptual_hash, reduced_luma, signature
from upres.training.data.images import find_pictures, read_levels


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("photos")
    draw_photographs(folder, 8)
    return [read_levels(path) for path in find_pictures(folder)]


def of(levels: np.ndarray, name: str = "copy") -> Signature:
    return signature(name, levels, str(hash(levels.tobytes())))


def as_levels(image: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def luma(image: np.ndarray) -> np.ndarray:
    return np.rint(image @ np.array([[0.299], [0.587], [0.114]])).astype(np.uint8)


CHANGES = {
    "smaller": lambda x: imresize(x, 0.5),
    "larger": lambda x: imresize(x, 1.7),
    "another shape": lambda x: imresize(x, size=(x.shape[0], x.shape[1] * 3 // 4)),
    "recompressed": lambda x: as_levels(recode(x / np.float32(255), "jpeg", 30, True, (0, 0))),
    "brighter": lambda x: as_levels(x / 255 * 0.9 + 0.08),
    "gamma": lambda x: as_levels((x / 255) ** 0.8),
    "mirrored": lambda x: x[:, ::-1],
    "upside down": lambda x: x[::-1],
    "turned": lambda x: np.rot90(x),
    "turned and mirrored": lambda x: np.rot90(x, 3)[:, ::-1],
    "gray": lambda x: np.repeat(luma(x), 3, axis=2),
    "one channel": lambda x: luma(x),
    "16 bit": lambda x: x.astype(np.uint16) * np.uint16(257),
    "noisy": lambda x: as_levels(x / 255 + np.random.default_rng(0).normal(0, 0.05, x.shape)),
    "a border cut off": lambda x: x[1:, :-1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found(photos: list[np.ndarray], change: str) -> None:
    known = [of(photo, f"{i}") for i, photo in enumerate(photos)]
    for i, photo in enumerate(photos):
        assert find_duplicates([of(CHANGES[change](photo))], known) == [(0, f"{i}", False)]


def test_equal_pixels_are_an_exact_copy_and_the_first_stays(photos: list[np.ndarray]) -> None:
    entries = [of(photos[0], "a"), of(photos[1], "b"), of(photos[0].copy(), "c"), of(imresize(photos[1], 0.6), "d")]
    assert find_duplicates(entries) == [(2, "a", True), (3, "b", False)]


@pytest.mark.slow
def test_a_copy_of_a_copy_is_one_of_the_first(photos: list[np.ndarray]) -> None:
    """Each border cut off is a little; all of them are too much to be told from the first."""
    steps = [imresize(photos[0], 8)]
    while len(steps) < 8:
        steps.append(steps[-1][: -steps[-1].shape[0] // 40, :])
    assert find_duplicates([of(steps[0], "0"), of(steps[-1], "last")]) == []
    entries = [of(step, str(i)) for i, step in enumerate(steps)]
    assert find_duplicates(entries) == [(i, "0", False) for i in range(1, 8)]


@pytest.mark.parametrize("shape", [(64, 72, 3), (64, 72, 1), (700, 1100, 3), (1200, 5, 1), (3, 900, 3)])
def test_the_reduced_luma_is_that_of_a_resize_of_all_pixels(shape: tuple[int, int, int]) -> None:
    coarse = np.random.default_rng(0).random((max(1, shape[0] // 50), max(1, shape[1] // 50), shape[2]))
    levels = as_levels(imresize(coarse, size=shape[:2]))
    found = reduced_luma(levels, 128)
    gray = (levels @ np.array([0.299, 0.587, 0.114]) if shape[2] == 3 else levels[:, :, 0]).astype(float)
    assert (
        max(found.shape) == min(128, max(shape[:2]))
        and np.abs(found - imresize(gray, size=found.shape, kernel="linear")).mean() < 1.0
    )
    wide = reduced_luma(levels.astype(np.uint16) * np.uint16(257), 128)
    assert wide == pytest.approx(found, abs=1e-2)


def test_different_pictures_are_not_copies(photos: list[np.ndarray]) -> None:
    assert find_duplicates([of(photo, str(i)) for i, photo in enumerate(photos)]) == []


def test_flat_pictures_are_compared_by_their_pixels_alone() -> None:
    flat = [np.full((40, 40, 3), level, np.uint8) for level in (10, 11, 10)]
    assert find_duplicates([of(image, str(i)) for i, image in enumerate(flat)]) == [(2, "0", True)]


def test_the_hash_is_of_the_cosine_transform(photos: list[np.ndarray]) -> None:
    thumb = of(photos[0]).thumb
    assert thumb is not None and np.linalg.norm(thumb) == pytest.approx(1.0, abs=1e-5)
    low = fft.dctn(thumb.astype(float), type=2)[:8, :8]
    bits = "".join("1" if x > np.median(low) else "0" for x in low.reshape(-1))
    # a coefficient next to the median may fall on either side
    assert bin(int(bits, 2) ^ perceptual_hash(thumb)).count("1") <= 1


@pytest.mark.slow
def test_real_photographs_are_not_called_copies(assets: Path) -> None:
    entries = [of(read_levels(path), path.name) for path in find_pictures(assets / "data" / "test" / "Set14")]
    assert len(entries) == 14 and find_duplicates(entries) == []
    copies = [
        of(imresize(read_levels(path), 0.7)[:, ::-1]) for path in find_pictures(assets / "data" / "test" / "Set14")[:5]
    ]
    assert [index for index, _, exact in find_duplicates(copies, entries) if not exact] == [0, 1, 2, 3, 4]
