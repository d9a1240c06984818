"""Samples: aligned, and pure functions of (seed, step, position)."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests import REPOSITORY
from upres.degradation.apply import draw_plan, load_recipe, run_plan, sharpened
from upres.images.resize import imresize
from upres.training.config import TrainConfig
from upres.training.data.images import Pair, draw_weights, make_pair
from upres.training.data.sampling import Batch, DegradedRegionCache, degrade_pairs, draw_batch

CONFIG = TrainConfig(recipe="test", scale=2, patch_px=8, batch=4, steps=10)


def _picture(seed: int, height: int = 40, width: int = 52, channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    top = np.iinfo(dtype).max
    coarse = (
        np.random.default_rng(seed).integers(0, top + 1, (height // 4 + 1, width // 4 + 1, channels)).astype(np.float32)
        / top
    )
    large = imresize(coarse, size=(height, width))
    return np.rint(np.clip(large, 0, 1) * top).astype(dtype)


def _pair(seed: int, **size: object) -> Pair:
    return Pair(str(seed), _picture(seed, **size), None)  # type: ignore[arg-type]


def _draw(pairs: list[Pair], step: int = 0, **changes: object) -> Batch:
    recipe = changes.pop("recipe", None)
    mapper = changes.pop("mapper", map)
    share = {key: changes.pop(key) for key in ("rank", "ranks") if key in changes}
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    weights = np.full(len(pairs), 1 / len(pairs))
    return draw_batch(config, pairs, weights, step, recipe=recipe, mapper=mapper, **share)  # type: ignore[arg-type]


def _equal(a: Batch, b: Batch) -> bool:
    same = np.array_equal(a.lr, b.lr) and np.array_equal(a.hr, b.hr)
    return (
        same and (a.target is None) == (b.target is None) and (a.target is None or np.array_equal(a.target, b.target))
    )


def test_patches_are_aligned_and_cover_all_eight_turns() -> None:
    # Each HR pixel holds the LR position that it belongs to, so that a wrong crop or an unequal flip shows at once.
    scale = 3
    rows, columns = np.mgrid[0:20, 0:24].astype(np.uint8)
    lr = np.stack([rows, columns, np.zeros_like(rows)], axis=2)
    pair = Pair("p", lr.repeat(scale, 0).repeat(scale, 1), lr)
    for turns, expected in (("all", 8), ("mirror", 2)):
        seen = set()
        for step in range(40):
            batch = _draw([pair], step, scale=scale, turns=turns)
            assert np.array_equal(batch.lr.repeat(scale, 1).repeat(scale, 2), batch.hr)
            for s in batch.lr.astype(int):
                seen.add((tuple(s[1, 0] - s[0, 0]), tuple(s[0, 1] - s[0, 0])))
        assert len(seen) == expected


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    pairs = [make_pair(str(i), _picture(i), 2) for i in range(3)]
    first = _draw(pairs, 7, seed=1)
    _draw(pairs, 8, seed=1)
    assert _equal(first, _draw(pairs, 7, seed=1))
    assert not np.array_equal(first.hr, _draw(pairs, 7, seed=2).hr)


def test_batches_of_earlier_versions_are_drawn_again() -> None:
    """numpy's own `choice`, with the chances that it is given, picks the same pictures."""
    pairs = [make_pair(str(i), _picture(i, 24 + 8 * i, 40), 2) for i in range(5)]
    weights = draw_weights(pairs)
    for step in range(5):
        batch = draw_batch(CONFIG, pairs, weights, step)
        for i in range(CONFIG.batch):
            rng = np.random.default_rng((0, step, i))
            pair = pairs[int(rng.choice(len(pairs), p=weights))]
            y, x = (int(rng.integers(side - 8 + 1)) for side in pair.lr.shape[:2])
            flips = rng.integers(2, size=3)
            patch = pair.lr[y : y + 8, x : x + 8]
            patch = patch[::-1] if flips[0] else patch
            patch = patch[:, ::-1] if flips[1] else patch
            assert np.array_equal(batch.lr[i], patch.transpose(1, 0, 2) if flips[2] else patch)


@pytest.mark.parametrize("recipe", ["", "real-esrgan"])
def test_neither_ranks_nor_workers_change_a_sample(recipe: str) -> None:
    """Trap 37: no pool of pairs, so nothing depends on what was drawn before."""
    pairs = [_pair(i, height=64, width=72) for i in range(3)]
    options = {"recipe": load_recipe(recipe) if recipe else None, "mixup": 0.3, "cutmix": 0.3, "cutblur": 0.3}
    whole = _draw(pairs, 3, **options)
    halves = [_draw(pairs, 3, rank=rank, ranks=2, **options) for rank in (0, 1)]
    for name in ("lr", "hr"):
        assert np.array_equal(getattr(whole, name), np.concatenate([getattr(half, name) for half in halves]))
    with ThreadPoolExecutor(3) as pool:
        assert _equal(whole, _draw(pairs, 3, mapper=pool.map, **options))


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint8), (3, np.uint16)])
def test_without_a_stored_lr_it_is_that_of_the_whole_picture(channels: int, dtype: type) -> None:
    image = _picture(5, 64, 72, channels, dtype)
    stored = Pair("p", image, imresize(image, 0.5))
    for step in range(10):
        expected, found = _draw([stored], step), _draw([Pair("p", image, None)], step)
        assert found.lr.dtype == dtype and _equal(found, expected)


def test_recolored_patches_are_still_pairs() -> None:
    """The LR of a whole picture that is permuted and inverted is the permuted and inverted LR, but for ties in
    rounding.
    """
    pair = make_pair("p", _picture(3, 64, 64), 4)
    plain, recolored = (_draw([pair], scale=4, patch_px=16, batch=8, color_augment=chance) for chance in (0.0, 1.0))
    changed = 0
    for i in range(8):
        difference = np.abs(imresize(recolored.hr[i], 0.25).astype(int) - recolored.lr[i].astype(int))
        assert np.median(difference) <= 1 and difference[2:-2, 2:-2].max() <= 1
        changed += not np.array_equal(recolored.hr[i], plain.hr[i])
    assert changed >= 6


def test_a_degraded_sample_is_the_plan_that_can_be_printed() -> None:
    """The degradation of sample i of a step is `draw_plan(seed, step * batch + i)` on the picture around the patch."""
    recipe = load_recipe("real-esrgan")
    image = _picture(2, 16, 16)  # no room for more than the patch: it is degraded as it is
    batch = _draw([Pair("p", image, None)], 5, recipe=recipe)
    assert recipe.target is not None
    for i in range(CONFIG.batch):
        hr = batch.hr[i].astype(np.float32) / np.float32(255)
        plan = draw_plan(recipe, seed=0, index=5 * CONFIG.batch + i, scale=2)
        sharp = sharpened(hr, plan)
        lr = run_plan(sharp, plan)
        assert np.array_equal(batch.lr[i], np.rint(lr * 255).astype(np.uint8))
        assert batch.target is not None and np.array_equal(batch.target[i], sharp)


def test_the_discriminators_picture_is_not_sharpened() -> None:
    """The target is; `hr` stays a part of the file."""
    image = _picture(1, 64, 64)
    batch = _draw([Pair("p", image, None)], recipe=load_recipe("real-esrgan"), turns="mirror", patch_px=12)
    windows = np.lib.stride_tricks.sliding_window_view(image, (24, 24, 3)).reshape(-1, 24, 24, 3)
    for hr in batch.hr:
        assert any((windows == candidate).all(axis=(1, 2, 3)).any() for candidate in (hr, hr[:, ::-1]))
    assert batch.target is not None and not np.allclose(batch.target, batch.hr / 255, atol=1e-3)


def test_degraded_patches_lie_where_their_hr_lies() -> None:
    """With a recipe that only reduces, the LR of what surrounds a patch, cut out, is the LR of the whole picture."""
    image = _picture(4, 96, 96)
    whole = imresize(image, 0.5)
    batch = _draw([Pair("p", image, None)], recipe=load_recipe("bicubic"), turns="mirror", batch=6)
    for lr, hr in zip(batch.lr, batch.hr, strict=True):
        places = [
            (y, x, flip)
            for y in range(41) for x in range(41) for flip in (1, -1)
            if np.array_equal(image[2 * y : 2 * y + 16, 2 * x : 2 * x + 16][:, ::flip], hr)
        ]  # fmt: skip
        assert len(places) == 1
        y, x, flip = places[0]
        assert np.abs(whole[y : y + 8, x : x + 8][:, ::flip].astype(int) - lr).max() <= 1


def test_validation_pictures_are_degraded_alike_in_every_run_and_keep_their_clean_lr() -> None:
    pairs = [make_pair("p", _picture(0, 64, 64), 2)]
    first, again = (degrade_pairs(pairs, load_recipe("real-esrgan"), 2)[0] for _ in range(2))
    assert first.lr is not None and np.array_equal(first.lr, again.lr) and first.lr.shape == pairs[0].lr.shape
    assert np.array_equal(first.reference, pairs[0].lr) and not np.array_equal(first.lr, first.reference)
    assert degrade_pairs(pairs, None, 2) == pairs


def test_16_bit_and_gray_pictures_are_degraded_as_such() -> None:
    for channels, dtype in ((1, np.uint8), (1, np.uint16), (3, np.uint16)):
        batch = _draw([Pair("p", _picture(0, 64, 64, channels, dtype), None)], recipe=load_recipe("real-esrgan"))
        assert batch.lr.dtype == batch.hr.dtype == dtype and batch.lr.shape == (4, 8, 8, channels)


def test_a_recipe_file_can_be_named(tmp_path: Path) -> None:
    source = REPOSITORY / "upres" / "degradation" / "recipes" / "bicubic.toml"
    own = tmp_path / "own.toml"
    own.write_text(source.read_text())
    assert _equal(*(_draw([_pair(0)], recipe=load_recipe(name)) for name in ("bicubic", own)))


@pytest.mark.slow
def test_reused_regions_give_the_same_samples_with_and_without_memory() -> None:
    """Four steps share a region: the samples depend on (seed, step, position) alone, whatever was drawn before, by whom
    and how often.
    """
    pairs = [_pair(i, height=96, width=104) for i in range(3)]
    options = {"recipe": load_recipe("real-esrgan"), "reuse": 4}
    kept = DegradedRegionCache()
    config = dataclasses.replace(CONFIG, reuse=4)
    for step in (0, 1, 2, 3, 4, 1, 9):
        remembered = draw_batch(config, pairs, np.full(3, 1 / 3), step, recipe=load_recipe("real-esrgan"), regions=kept)
        fresh = _draw(pairs, step, **options)
        halves = [_draw(pairs, step, rank=rank, ranks=2, **options) for rank in (0, 1)]
        assert _equal(remembered, fresh) and np.array_equal(fresh.lr, np.concatenate([half.lr for half in halves]))
    batches = [_draw(pairs, step, patch_px=20, **options) for step in range(4)]
    for a in range(4):
        for b in range(a):
            assert not any(np.array_equal(x, y) for x, y in zip(batches[a].hr, batches[b].hr, strict=True))


def test_reused_regions_are_aligned() -> None:
    """With a recipe that only downscales, a patch is its HR downscaled, but for the border; small pictures too."""
    for height, width in ((96, 104), (18, 40), (16, 16)):
        for step in range(4):
            batch = _draw([_pair(3, height=height, width=width)], step, recipe=load_recipe("bicubic"), reuse=4)
            for lr, hr in zip(batch.lr, batch.hr, strict=True):
                assert np.abs(imresize(hr, 0.5).astype(int) - lr)[2:-2, 2:-2].max() <= 1
