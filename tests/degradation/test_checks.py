"""Plans from files: what is no plan is refused by step and key, before a pixel is touched."""

import numpy as np
import pytest

from tests.degradation.test_apply import picture
from upres.degradation.apply import check_plan, draw_plan, load_recipe, run_plan
from upres.degradation.filters import sharpen
from upres.errors import UsageError

KERNEL = {"kind": "isotropic", "size": 7, "sigma_x": 1.0, "sigma_y": 1.0, "theta": 0.0, "beta": 1.0}
RESIZE = {"op": "resize", "of": "target", "factor": 1.0, "mode": "cubic", "antialias": True}
CODEC = {"op": "codec", "format": "jpeg", "quality": 74, "subsample": True, "shift": [0, 0]}
NOISE = {"op": "noise", "kind": "gaussian", "sigma_255": 2.0, "gray": False, "seed": 1}
CORRELATED = {"op": "noise", "kind": "correlated", "covariance_255": [[9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]], "seed": 1}
SHARPEN = {"op": "sharpen", "amount": 0.5, "radius_px": 7, "threshold_255": 10}
CAMERA = {
    "op": "camera", "weights": [0.25] * 4, "rgb_gain": 1.2, "red_gain": 2.0, "blue_gain": 1.7, "shot": 1e-3,
    "read": 1e-6, "seed": 1,
}  # fmt: skip


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
        (
            {"steps": [{"op": "noise", "kind": "pink", "seed": 1}]},
            r"step 1 \(noise\) of a degradation plan: unknown kind 'pink'",
        ),
    ],
)
def test_what_is_no_plan_is_refused(change: dict[str, object], words: str) -> None:
    plan = draw_plan(load_recipe("bicubic"), seed=0, index=0, scale=4)
    with pytest.raises(UsageError, match=words):
        run_plan(picture(), {**plan, **change})


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
        (
            {"op": "decimate", "factor": 4, "kernel": KERNEL},
            {"factor": 0},
            "factor must be a whole number from 1 to 1024, got 0",
        ),
        ({"op": "blur"}, {"kernel": "x"}, "kernel: expected an object, got 'x'"),
        (
            {"op": "blur"},
            {"kernel": {**KERNEL, "kind": "isotopic"}},
            r"kernel: unknown kind 'isotopic', did you mean 'isotropic'\?",
        ),
        (
            {"op": "blur"},
            {"kernel": {**KERNEL, "sigm_x": 1.0}},
            r"kernel: unknown key 'sigm_x', did you mean 'sigma_x'\?",
        ),
        (
            {"op": "blur"},
            {"kernel": {**KERNEL, "size": 8}},
            "kernel: size must be an odd whole number from 1 to 401, got 8",
        ),
        ({"op": "blur"}, {"kernel": {"kind": "sinc", "size": 7}}, "kernel lacks 'cutoff'"),
    ],
)
def test_an_unusable_number_is_named_before_any_work(
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
