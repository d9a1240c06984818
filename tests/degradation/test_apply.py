"""Plans: pure functions of (seed, index), JSON, and the same bytes whenever they are carried out."""

import json

import numpy as np
import pytest

from upres.degradation.apply import BUILT_IN, check_plan, draw_plan, load_recipe, run_plan, sharpened
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
    """The centre of a bright square stays where it is, whatever filters were drawn (noise and codecs only blur this measurement)."""
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
    """Every kernel is its own mirror image through the middle, so a picture turned by 180 degrees must end as the turned result: whatever
    shifts breaks this. Without noise and codecs, whose grids begin at the top left. Half a level is float32's rounding.

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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": [{"op": "blurr"}]}, r"step 1 of a degradation plan: unknown op 'blurr', did you mean 'blur'\?"),
        ({"steps": [3]}, "step 1 of a degradation plan: expected an object, got 3"),
        ({"steps": [{"op": []}]}, r"step 1 of a degradation plan: unknown op \[\]"),
        ({"steps": [{"op": "resize", "of": "target"}]}, r"step 1 \(resize\) of a degradation plan lacks 'factor'"),
        ({"stpes": []}, r"a degradation plan: unknown key 'stpes', did you mean 'steps'\?"),
        ({"sharpen": {"amount": 0.5}}, "the sharpening of a degradation plan lacks 'radius_px'"),
        ({"steps": []}, "the plan ends with 48x64 pixels, expected 12x16"),
        ({"scale": 5}, "a picture of 48x64 cannot be degraded for x5: its sides must be multiples of 5"),
        ({"scale": "4"}, "a degradation plan: scale must be a whole number from 1 to 1024, got '4'"),
        ({"scale": 0}, "scale must be a whole number from 1 to 1024, got 0"),
        ({"steps": 5}, "steps must be a list, got 5"),
        ({"steps": [{"op": "noise", "kind": "pink", "seed": 1}]}, r"step 1 \(noise\) of a degradation plan: unknown kind 'pink'"),
    ],
)
def test_what_is_no_plan_is_refused(change: dict[str, object], words: str) -> None:
    plan = draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4)
    with pytest.raises(UsageError, match=words):
        run_plan(picture(), {**plan, **change})


KERNEL = {"kind": "isotropic", "size": 7, "sigma_x": 1.0, "sigma_y": 1.0, "theta": 0.0, "beta": 1.0}
RESIZE = {"op": "resize", "of": "target", "factor": 1.0, "mode": "cubic", "antialias": True}
CODEC = {"op": "codec", "format": "jpeg", "quality": 74, "subsample": True, "shift": [0, 0]}
NOISE = {"op": "noise", "kind": "gaussian", "sigma_255": 2.0, "gray": False, "seed": 1}
CORRELATED = {"op": "noise", "kind": "correlated", "covariance_255": [[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]], "seed": 1}
SHARPEN = {"op": "sharpen", "amount": 0.5, "radius_px": 7, "threshold_255": 10}
CAMERA = {
    "op": "camera", "weights": [0.25] * 4, "rgb_gain": 1.2, "red_gain": 2.0, "blue_gain": 1.7, "shot": 1e-3, "read": 1e-6, "seed": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("step", "change", "words"),
    [
        (RESIZE, {"modee": 1}, r"unknown key 'modee', did you mean 'mode'\?"),
        (RESIZE, {"factor": "a"}, "factor must be a number from 1e-06 to 16, got 'a'"),
        (RESIZE, {"factor": float("nan")}, "factor must be a number from 1e-06 to 16, got nan"),
        (RESIZE, {"factor": 1e6}, "factor must be a number from 1e-06 to 16, got 1000000.0"),
        (RESIZE, {"mode": "cubik"}, "mode must be one of area, linear, cubic, lanczos, nearest, got 'cubik'"),
        (RESIZE, {"of": "targt"}, "of must be one of input, target, got 'targt'"),
        (RESIZE, {"antialias": 1}, "antialias must be true or false, got 1"),
        (CODEC, {"quality": 300}, "quality must be a whole number from 1 to 100, got 300"),
        (CODEC, {"quality": True}, "quality must be a whole number from 1 to 100, got True"),
        (CODEC, {"format": "gif"}, "format must be one of jpeg, webp, avif, got 'gif'"),
        (CODEC, {"shift": [0]}, r"shift must be a list of 2, got \[0\]"),
        (CODEC, {"shift": [0, 8]}, "shift must be a list of 2, each a whole number from 0 to 7"),
        (NOISE, {"sigma_255": float("inf")}, "sigma_255 must be a number of 0 or more, got inf"),
        (NOISE, {"seed": -1}, "seed must be a whole number from 0 to"),
        (NOISE, {"strength": 1.0}, "unknown key 'strength'"),
        (CORRELATED, {"covariance_255": [[1, 0], [0, 1]]}, "covariance_255 must be a list of 3"),
        (SHARPEN, {"radius_px": 6}, "radius_px must be an odd whole number from 1 to 1001, got 6"),
        (CAMERA, {"weights": [0, 0, 0, 0]}, "weights must be weights that are not all 0"),
        (CAMERA, {"red_gain": 0}, "red_gain must be a number from 0.001 to 1000, got 0"),
        ({"op": "decimate", "factor": 4, "kernel": KERNEL}, {"factor": 0}, "factor must be a whole number from 1 to 1024, got 0"),
        ({"op": "blur"}, {"kernel": "x"}, "kernel: expected an object, got 'x'"),
        ({"op": "blur"}, {"kernel": {**KERNEL, "kind": "isotopic"}}, r"kernel: unknown kind 'isotopic', did you mean 'isotropic'\?"),
        ({"op": "blur"}, {"kernel": {**KERNEL, "sigm_x": 1.0}}, r"kernel: unknown key 'sigm_x', did you mean 'sigma_x'\?"),
        ({"op": "blur"}, {"kernel": {**KERNEL, "size": 8}}, "kernel: size must be an odd whole number from 1 to 401, got 8"),
        ({"op": "blur"}, {"kernel": {"kind": "sinc", "size": 7}}, "kernel lacks 'cutoff'"),
    ],
)
def test_a_number_that_cannot_be_worked_with_is_named_before_a_pixel_is_touched(
    step: dict[str, object], change: dict[str, object], words: str
) -> None:
    plan = {"scale": 4, "steps": [RESIZE, {**step, **change}]}
    with pytest.raises(UsageError, match=rf"^step 2 \({step['op']}\) of a degradation plan") as caught:
        check_plan(plan)
    caught.match(words)


def test_every_op_by_hand() -> None:
    """The steps above are good as they are; a sharpened LR differs from what it was made of only by the sharpening."""
    for step in (RESIZE, CODEC, NOISE, CORRELATED, SHARPEN, CAMERA, {"op": "blur", "kernel": KERNEL}, {"op": "clip"}):
        assert run_plan(picture(), {"scale": 4, "steps": [step, RESIZE]}).shape == (16, 12, 3)
    plain = run_plan(picture(), {"scale": 1, "steps": [SHARPEN]})
    np.testing.assert_allclose(plain, np.clip(sharpen(picture(), 0.5, 7, 10), 0, 1), atol=0.51 / 255)


def test_pictures_that_are_none_are_refused() -> None:
    plan = draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4)
    for shape in ((8, 8), (8, 8, 4), (8, 8, 2)):
        with pytest.raises(UsageError, match="is h w c with 1 or 3 channels"):
            run_plan(np.zeros(shape, np.float32), plan)


def test_negative_numbers_are_refused() -> None:
    for seed, index, scale in ((-1, 0, 4), (0, -1, 4), (0, 0, 0)):
        with pytest.raises(UsageError, match="a seed and an index of 0 or more and a scale of 1 or more"):
            draw_plan(load_recipe("wild"), seed=seed, index=index, scale=scale)
