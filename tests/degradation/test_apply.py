"""Plans: pure functions of (seed, index), JSON, and the same bytes whenever they are carried out."""

import json

import numpy as np
import pytest

from upres.degradation.apply import BUILT_IN, draw_plan, load_recipe, run_plan, sharpened
from upres.degradation.filters import sharpen
from upres.errors import UsageError
from upres.images.resize import imresize


def picture(height: int = 64, width: int = 48, channels: int = 3) -> np.ndarray:
    coarse = np.random.default_rng(0).random((height // 4, width // 4, channels), dtype=np.float32)
    return np.clip(imresize(coarse, size=(height, width)), 0, 1)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_plan_survives_json_to_the_same_bytes(name: str) -> None:
    recipe, hr = load_recipe(name), picture()
    for index in range(12):
        plan = draw_plan(recipe, seed=5, index=index, scale=4)
        assert plan == draw_plan(recipe, seed=5, index=index, scale=4)
        again = json.loads(json.dumps(plan))
        assert again == plan and np.array_equal(run_plan(hr, plan), run_plan(hr, again))
    plans = [draw_plan(recipe, seed=seed, index=index, scale=4)["steps"] for seed, index in ((5, 0), (5, 1), (6, 0))]
    assert name == "bicubic" or (plans[0] != plans[1] != plans[2] != plans[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_every_recipe_fits_every_scale_and_size(name: str, scale: int) -> None:
    recipe = load_recipe(name)
    for index, (height, width, channels) in enumerate([(1, 1, 3), (5, 3, 1), (12, 40, 3), (9, 2, 3), (1, 30, 1)] * 4):
        hr = np.random.default_rng(index).random((height * scale, width * scale, channels), dtype=np.float32)
        before = hr.copy()
        lr = run_plan(hr, draw_plan(recipe, seed=1, index=index, scale=scale))
        assert lr.shape == (height, width, channels) and lr.dtype == np.float32
        assert lr.min() >= 0.0 and lr.max() <= 1.0
        np.testing.assert_allclose(lr * 255, np.rint(lr * 255), atol=1e-4)
        assert np.array_equal(hr, before)


def test_bicubic_is_the_reduction_of_the_test_sets() -> None:
    hr = np.rint(picture() * 255).astype(np.uint8)
    lr = run_plan(hr.astype(np.float32) / np.float32(255), draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4))
    assert np.abs(np.rint(lr * 255) - imresize(hr, 0.25).astype(float)).max() <= 1
    assert (np.rint(lr * 255) == imresize(hr, 0.25)).mean() > 0.99


def test_nothing_shifts() -> None:
    """The center of a bright square stays where it is, whatever filters were drawn (noise and codecs only blur this
    measurement).
    """
    hr = np.zeros((96, 96, 3), np.float32)
    hr[40:56, 40:56] = 1.0
    rows = np.arange(24) - 11.5
    for name in ("real-esrgan", "bsrgan", "wild"):
        recipe = load_recipe(name)
        shifts = []
        for index in range(60):
            plan = draw_plan(recipe, seed=2, index=index, scale=4)
            steps = [step for step in plan["steps"] if step["op"] not in ("noise", "codec", "camera")]
            lr = run_plan(hr, {**plan, "steps": steps}).mean(axis=2)
            light = np.maximum(lr - 0.5 * lr.max(), 0.0)
            shifts.append([(light.sum(axis=axis) * rows).sum() / light.sum() for axis in (1, 0)])
        assert np.abs(np.mean(shifts, axis=0)).max() < 0.03 and np.abs(shifts).max() < 0.3


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_turned_picture_gives_the_turned_result(scale: int) -> None:
    """Every kernel is its own mirror image through the middle, so a picture turned by 180 degrees must end as the
    turned result: whatever shifts breaks this. Without noise and codecs, whose grids begin at the top left. Half a
    level is float32's rounding.

    Not so: MATLAB's box (antialiased area), which takes one of two samples that lie on its edge.
    """
    hr = picture(72, 60)
    turned = np.ascontiguousarray(hr[::-1, ::-1])
    seen = 0
    for name in ("real-esrgan", "bsrgan", "wild"):
        for index in range(12):
            plan = draw_plan(load_recipe(name), seed=4, index=index, scale=scale)
            steps = [step for step in plan["steps"] if step["op"] not in ("noise", "codec", "camera")]
            if any(step["op"] == "resize" and step["mode"] == "area" and step["antialias"] for step in steps):
                continue
            plain = {**plan, "steps": steps}
            assert np.abs(run_plan(turned, plain)[::-1, ::-1] - run_plan(hr, plain)).max() < 1.01 / 255
            seen += 1
    assert seen > 25


def test_sharpening_belongs_to_the_plan() -> None:
    hr = picture()
    plan = draw_plan(load_recipe("real-esrgan"), seed=0, index=0, scale=4)
    assert np.array_equal(sharpened(hr, plan), sharpen(hr, 0.5, 51, 10))
    assert sharpened(hr, draw_plan(load_recipe("wild"), seed=0, index=0, scale=4)) is hr


def test_pictures_that_are_none_are_refused() -> None:
    plan = draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4)
    for shape in ((8, 8), (8, 8, 4), (8, 8, 2)):
        with pytest.raises(UsageError, match="must be h w c with 1 or 3 channels"):
            run_plan(np.zeros(shape, np.float32), plan)


def test_negative_numbers_are_refused() -> None:
    for seed, index, scale in ((-1, 0, 4), (0, -1, 4), (0, 0, 0)):
        with pytest.raises(UsageError, match="`seed` and `index` must be at least 0 and `scale` at least 1"):
            draw_plan(load_recipe("wild"), seed=seed, index=index, scale=scale)
