"""Degrades pictures: draws a plan from a recipe, and applies it.

`draw_plan` is a pure function of (recipe, seed, index); a plan is JSON with every number in it. `run_plan` is
deterministic: the same plan on the same picture gives the same bytes. So any sample of a training run can be
reproduced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import numpy as np
from msgspec.structs import asdict
from numpy.typing import NDArray

from upres.degradation.camera import camera_noise
from upres.degradation.checks import check_plan, check_sharpening
from upres.degradation.codecs import recode
from upres.degradation.draw import Now, draw_steps
from upres.degradation.filters import blur, decimate, resize, sharpen
from upres.degradation.kernels import make_kernel
from upres.degradation.noise import add_correlated, add_gaussian, add_poisson
from upres.degradation.recipe import BUILT_IN, Recipe, load_recipe
from upres.degradation.stages import Sharpen
from upres.errors import UsageError

__all__ = ["BUILT_IN", "Recipe", "Sharpen", "check_plan", "draw_plan", "load_recipe", "run_plan", "sharpened"]

Array = NDArray[np.float32]
DegradationPlan = dict[str, Any]


def draw_plan(recipe: Recipe, *, seed: int, index: int, scale: int) -> DegradationPlan:
    """Draw the plan of `recipe` for picture `index` under `seed`: JSON data with relative sizes, so that it fits any
    picture.

    Raises `UsageError` for a negative seed or index, or a scale below 1.
    """
    if seed < 0 or index < 0 or scale < 1:
        raise UsageError(
            f"`seed` and `index` must be at least 0 and `scale` at least 1, got {seed}, {index} and {scale}"
        )
    steps = draw_steps(recipe.stages, np.random.default_rng((seed, index)), Now(scale, scale))
    sharpen = None if recipe.target is None else asdict(recipe.target)
    head = {"recipe": recipe.name, "sha256": recipe.sha256, "seed": seed, "index": index, "scale": scale}
    return {**head, "sharpen": sharpen, "steps": steps}


def sharpened(hr: Array, plan: Mapping[str, Any]) -> Array:
    """The picture to degrade, which is also a network's target: `hr`, sharpened if the plan says so. hr float32 `h w c`
    in [0,1].

    Raises `UsageError` for invalid sharpening.
    """
    target = plan.get("sharpen")
    if target is not None:
        check_sharpening(target)
    return hr if target is None else sharpen(hr, target["amount"], target["radius_px"], target["threshold_255"])


def run_plan(hr: Array, plan: Mapping[str, Any]) -> Array:
    """Apply `plan` to what `sharpened` returns.

    hr float32 `h w c` in [0,1], c 1 or 3, sides multiples of the plan's scale -> lr float32 `h/scale w/scale c`,
    clipped and rounded to 1/255. Raises `UsageError` for an invalid plan or other sides.
    """
    check_plan(plan)
    scale, steps = cast(int, plan["scale"]), cast("list[Mapping[str, Any]]", plan["steps"])
    if hr.ndim != 3 or hr.shape[2] not in (1, 3):
        raise UsageError(f"a picture to degrade must be h w c with 1 or 3 channels, got shape {hr.shape}")
    height, width = hr.shape[:2]
    if height % scale or width % scale or not height or not width:
        raise UsageError(
            f"a picture of {width}x{height} cannot be degraded for x{scale}: its sides must be multiples of {scale}"
        )
    target = height // scale, width // scale
    image = hr
    for step in steps:
        image = _RUN[step["op"]](image, step, target)
    if image.shape[:2] != target:
        found, expected = (f"{size[1]}x{size[0]}" for size in (image.shape, target))
        raise UsageError(f"the plan ends with {found} pixels, expected {expected}: its recipe needs a stage to-target")
    return (np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)) / np.float32(255.0)).astype(np.float32, copy=False)


def _blur(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    return blur(image, make_kernel(step["kernel"]))


def _resize(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    sides = target if step["of"] == "target" else image.shape[:2]
    # dividing and multiplying may leave a whole number slightly below itself
    size = tuple(max(1, int(side * step["factor"] + 1e-9)) for side in sides)
    return resize(image, cast("tuple[int, int]", size), step["mode"], step["antialias"])


def _decimate(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    factor = min(step["factor"], *image.shape[:2])  # smaller pictures keep one pixel
    return decimate(image, factor, make_kernel(step["kernel"]))


def _noise(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    rng = np.random.default_rng(step["seed"])
    if step["kind"] == "gaussian":
        noisy = add_gaussian(image, step["sigma_255"], step["gray"], rng)
    elif step["kind"] == "poisson":
        noisy = add_poisson(image, step["strength"], step["gray"], rng)
    else:
        noisy = add_correlated(image, step["covariance_255"], rng)
    return np.clip(noisy, 0.0, 1.0)  # as the published pipelines do after every noise


def _codec(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    return recode(image, step["format"], step["quality"], step["subsample"], step["shift"])


def _camera(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    return camera_noise(image, step)


def _sharpen(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    return sharpen(image, step["amount"], step["radius_px"], step["threshold_255"])


def _clip(image: Array, step: Mapping[str, Any], target: tuple[int, int]) -> Array:
    return np.clip(image, 0.0, 1.0)


_RUN: Final[dict[str, Callable[[Array, Mapping[str, Any], tuple[int, int]], Array]]] = {
    "blur": _blur, "resize": _resize, "decimate": _decimate, "noise": _noise, "codec": _codec, "camera": _camera,
    "sharpen": _sharpen, "clip": _clip,
}  # fmt: skip
