"""Patches cut from pairs in memory are those of plain slicing, in all turns, whatever the number of ranks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from upres.errors import UsageError  # noqa: E402
from upres.images.resize import imresize  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.data.images import Pair, make_pair  # noqa: E402
from upres.training.data.memory import PairsInMemory  # noqa: E402

CPU = torch.device("cpu")
CONFIG = TrainConfig(recipe="test", scale=2, batch=16, patch_px=8, in_memory=True)


def pairs(dtype: type = np.uint8, channels: int = 3) -> list[Pair]:
    rng = np.random.default_rng(0)
    sizes = ((40, 60), (36, 32), (90, 44))
    return [
        make_pair(str(size), rng.integers(0, np.iinfo(dtype).max + 1, (*size, channels)).astype(dtype), 2)
        for size in sizes
    ]


def held(given: list[Pair]) -> PairsInMemory:
    return PairsInMemory(given, np.ones(len(given)) / len(given), 2, CPU)


def turns(patch: np.ndarray) -> list[np.ndarray]:
    flipped = [p[:, ::sx] for p in (patch[::sy] for sy in (1, -1)) for sx in (1, -1)]
    return [*flipped, *(p.transpose(1, 0, 2) for p in flipped)]


def place_of(lr: np.ndarray, given: list[Pair]) -> tuple[int, int, int, int]:
    """(picture, y, x, turn) of a patch of LR levels, by looking everywhere."""
    side = lr.shape[0]
    for number, pair in enumerate(given):
        windows = np.lib.stride_tricks.sliding_window_view(pair.stored_lr, (side, side), axis=(0, 1)).transpose(
            0, 1, 3, 4, 2
        )
        for turn, view in enumerate(turns(lr)):  # each turn undoes one
            found = np.argwhere((windows == view).all(axis=(2, 3, 4)))
            if len(found):
                return number, int(found[0][0]), int(found[0][1]), turn
    raise AssertionError("the patch lies in no picture")


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 1)])
def test_every_patch_is_a_turned_piece_and_its_hr_the_same_piece(dtype: type, channels: int) -> None:
    given, top = pairs(dtype, channels), np.iinfo(dtype).max
    seen: set[tuple[int, int]] = set()
    memory = held(given)
    for step in range(4):
        lr, hr = memory.draw(CONFIG, step)
        assert (
            lr.shape == (16, channels, 8, 8)
            and hr.shape == (16, channels, 16, 16)
            and lr.dtype == hr.dtype == torch.float32
        )
        for small, large in zip(lr, hr, strict=True):
            levels, wide = (
                np.rint(x.permute(1, 2, 0).numpy().astype(np.float64) * top).astype(dtype) for x in (small, large)
            )
            number, y, x, turn = place_of(levels, given)
            np.testing.assert_array_equal(turns(wide)[turn], given[number].hr[2 * y : 2 * y + 16, 2 * x : 2 * x + 16])
            seen.add((number, turn))
    assert {number for number, _ in seen} == {0, 1, 2} and {turn for _, turn in seen} == set(range(8))


def test_ranks_share_the_batch_and_steps_differ() -> None:
    memory = held(pairs())
    whole, again, other = (memory.draw(CONFIG, step)[0] for step in (5, 5, 6))
    parts = [memory.draw(CONFIG, 5, rank, 2)[0] for rank in (0, 1)]
    assert torch.equal(whole, again) and torch.equal(whole, torch.cat(parts)) and not torch.equal(whole, other)


def test_mirrored_only() -> None:
    given = pairs()
    lr, _ = held(given).draw(dataclasses.replace(CONFIG, turns="mirror"), 0)
    found = {place_of(np.rint(x.permute(1, 2, 0).numpy() * 255).astype(np.uint8), given)[3] for x in lr}
    assert found == {0, 1}  # as it lies, and left to right


def test_the_last_pixel_and_the_first_occur() -> None:
    """A patch as wide as the picture leaves one place; one pixel narrower two."""
    given = [make_pair("a", np.random.default_rng(1).integers(0, 256, (18, 16, 3), dtype=np.uint8), 2)]
    memory = PairsInMemory(given, np.ones(1), 2, CPU)
    patches = [x.permute(1, 2, 0).numpy() * 255 for step in range(4) for x in memory.draw(CONFIG, step)[0]]
    places = {place_of(np.rint(x).astype(np.uint8), given)[1:3] for x in patches}
    assert places == {(0, 0), (1, 0)}


def test_recolored_patches_are_still_pairs() -> None:
    """Permuted and inverted alike: LR stays the reduction of HR, which a linear resize commutes with."""
    hr = np.repeat(np.random.default_rng(2).integers(0, 256, (1, 1, 3), dtype=np.uint8), 32, axis=0).repeat(32, axis=1)
    memory = PairsInMemory([make_pair("flat", hr, 2)], np.ones(1), 2, CPU)
    config = dataclasses.replace(CONFIG, color_augment=1.0, batch=64)
    lr, large = memory.draw(config, 0)
    colors: Tensor = lr[:, :, 0, 0]
    torch.testing.assert_close(large[:, :, 3, 5], colors)
    assert len({tuple(color) for color in (colors * 255).round().int().tolist()}) > 20
    folded = torch.sort(torch.minimum(colors, 1.0 - colors), dim=1).values
    torch.testing.assert_close(folded, folded[:1].expand_as(folded))
    plain, _ = memory.draw(CONFIG, 0)
    np.testing.assert_allclose(plain[0, :, 0, 0].numpy() * 255, imresize(hr, 0.5)[0, 0], atol=1e-4)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(UsageError, match="in_memory needs pairs of HR and LR"):
        PairsInMemory([Pair("a", np.zeros((16, 16, 3), np.uint8), None)], np.ones(1), 2, CPU)
    with pytest.raises(UsageError, match="`in_memory=true` cannot be combined with degradation"):
        change_config(TrainConfig(recipe="test", scale=2), ["in_memory=true", "degradation=wild"])
