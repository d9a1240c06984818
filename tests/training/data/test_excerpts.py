"""A picture and a part of it are told to be one, at other scales, mirrored and turned; different pictures are not."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("cv2")

from upres.degradation.codecs import recode
from upres.images.resize import imresize
from upres.training.data.excerpts import Excerpts
from upres.training.data.images import find_pictures, read_levels
from upres.training.data.keypoints import keypoints


def clouds(seed: int, height: int = 200, width: int = 260) -> np.ndarray:
    """Detail of every size, as photographs have it: noise of each octave, the coarser the stronger."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for step in (2, 4, 8, 16, 32, 64):
        image += step * imresize(rng.normal(size=(height // step + 1, width // step + 1, 3)), size=(height, width))
    return np.rint(np.clip(image * 1.3 + 128, 0, 255)).astype(np.uint8)


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [clouds(seed) for seed in range(5)]


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    image = np.rot90(image, turn % 4)
    return image[:, ::-1] if turn >= 4 else image


def part(image: np.ndarray) -> np.ndarray:
    return image[30:150, 70:220]


CHANGES = {
    "a part": part,
    "a reduced part": lambda x: imresize(part(x), 0.6),
    "an enlarged part": lambda x: imresize(part(x), 1.9),
    "a recompressed part": lambda x: np.rint(recode(part(x) / np.float32(255), "jpeg", 40, True, (0, 0)) * 255).astype(
        np.uint8
    ),
    "a darker part": lambda x: np.rint(part(x) * 0.7).astype(np.uint8),
    "in a frame": lambda x: np.pad(x, ((60, 20), (30, 90), (0, 0))),
    "beside another": lambda x: np.concatenate([part(x)[:, ::-1], part(x)], axis=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_what_shares_a_part_is_found_from_either_side(photos: list[np.ndarray], change: str) -> None:
    changed = keypoints("changed", CHANGES[change](photos[2]))
    known = [keypoints(str(i), photo) for i, photo in enumerate(photos)]
    assert Excerpts(known).find(changed) == "2"
    assert [Excerpts([changed]).find(entry) for entry in known] == [None, None, "changed", None, None]


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(8))
def test_turned_and_mirrored_parts_are_found(photos: list[np.ndarray], turn: int) -> None:
    known = Excerpts([keypoints(str(i), photo) for i, photo in enumerate(photos)])
    assert known.find(keypoints("x", turned(part(photos[1]), turn))) == "1"


def test_nothing_is_found_in_nothing(photos: list[np.ndarray]) -> None:
    flat = keypoints("flat", np.full((64, 64, 3), 77, np.uint8))
    tiny = keypoints("tiny", photos[0][:9, :9])
    assert len(flat.places) == 0 and len(tiny.places) == 0
    assert Excerpts([flat, tiny]).find(keypoints("x", photos[0])) is None
    assert Excerpts([keypoints("x", photos[0])]).find(flat) is None and Excerpts([]).find(flat) is None


@pytest.mark.slow
def test_the_butterfly_is_cut_out_of_the_monarch(assets: Path) -> None:
    """Set5's butterfly is a part of Set14's monarch, and their woman's head a copy of the face; the others share
    nothing.
    """
    known = Excerpts(
        [keypoints(path.stem, read_levels(path)) for path in find_pictures(assets / "data" / "test" / "Set14")]
    )
    found = {
        path.stem: known.find(keypoints(path.stem, read_levels(path)))
        for path in find_pictures(assets / "data" / "test" / "Set5")
    }
    assert {name: of for name, of in found.items() if of} == {"butterfly": "monarch", "head": "face"}
