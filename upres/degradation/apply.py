"""Pictures as the world makes them: a recipe, a plan drawn from it, and the plan carried out.

`draw_plan` is a pure function of (recipe, seed, index) and touches no pixel: a plan is JSON with every number in it. `run_plan` draws
nothing: the same plan on the same picture gives the same bytes. So a sample of a training run can be printed, looked at and made again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.degradation.camera import CAMERAS, camera_noise
from upres.degradation.codecs import FORMATS, recode
from upres.degradation.draw import Now, draw_steps
from upres.degradation.filters import MODES, blur, decimate, resize, sharpen
from upres.degradation.kernels import KINDS, make_kernel
from upres.degradation.noise import add_correlated, add_gaussian, add_poisson
from upres.degradation.recipe import BUILT_IN, Recipe, Sharpen, load_recipe
from upres.errors import UsageError, nearest

__all__ = ["BUILT_IN", "Recipe", "Sharpen", "check_plan", "draw_plan", "load_recipe", "run_plan", "sharpened"]

Picture = NDArray[np.float32]
Plan = dict[str, Any]


def draw_plan(recipe: Recipe, *, seed: int, index: int, scale: int) -> Plan:
    """What `recipe` does to picture `index` under `seed`: JSON data; sizes in it are relative, so it fits any picture.

    Raises `UsageError` for a negative seed or index, or a scale below 1.
    """
    if seed < 0 or index < 0 or scale < 1:
        raise UsageError(f"expected a seed and an index of 0 or more and a scale of 1 or more, got {seed}, {index} and {scale}")
    steps = draw_steps(recipe.stages, np.random.default_rng((seed, index)), Now(scale, scale))
    sharpen = None if recipe.target is None else asdict(recipe.target)
    head = {"recipe": recipe.name, "sha256": recipe.sha256, "seed": seed, "index": index, "scale": scale}
    return {**head, "sharpen": sharpen, "steps": steps}


def sharpened(hr: Picture, plan: Mapping[str, Any]) -> Picture:
    """What `plan` degrades and a network should give: `hr` itself, or sharpened where the recipe says so. hr float32 `h w c` in [0,1].

    Raises `UsageError` for a sharpening that is none.
    """
    target = plan.get("sharpen")
    if target is not None:
        _check(target, _SHARPEN, "the sharpening of a degradation plan")
    return hr if target is None else sharpen(hr, target["amount"], target["radius_px"], target["threshold_255"])


def run_plan(hr: Picture, plan: Mapping[str, Any]) -> Picture:
    """hr float32 `h w c` in [0,1], c 1 or 3, sides multiples of the plan's scale -> lr float32 `h/scale w/scale c`, clipped and rounded
    to 1/255.

    It takes what `sharpened` gives. Raises `UsageError` for a plan that is none, and for other sides.
    """
    check_plan(plan)
    scale, steps = cast(int, plan["scale"]), cast("list[Mapping[str, Any]]", plan["steps"])
    if hr.ndim != 3 or hr.shape[2] not in (1, 3):
        raise UsageError(f"a picture to degrade is h w c with 1 or 3 channels, got shape {hr.shape}")
    height, width = hr.shape[:2]
    if height % scale or width % scale or not height or not width:
        raise UsageError(f"a picture of {width}x{height} cannot be degraded for x{scale}: its sides must be multiples of {scale}")
    target = height // scale, width // scale
    image = hr
    for step in steps:
        image = _RUN[step["op"]](image, step, target)
    if image.shape[:2] != target:
        found, expected = (f"{size[1]}x{size[0]}" for size in (image.shape, target))
        raise UsageError(f"the plan ends with {found} pixels, expected {expected}: its recipe needs a stage to-target")
    return (np.rint(np.clip(image, 0.0, 1.0) * np.float32(255.0)) / np.float32(255.0)).astype(np.float32, copy=False)


def _blur(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    return blur(image, make_kernel(step["kernel"]))


def _resize(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    sides = target if step["of"] == "target" else image.shape[:2]
    # a whole number that was divided and multiplied again may lie a rounding error below itself
    size = tuple(max(1, int(side * step["factor"] + 1e-9)) for side in sides)
    return resize(image, cast("tuple[int, int]", size), step["mode"], step["antialias"])


def _decimate(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    factor = min(step["factor"], *image.shape[:2])  # a picture smaller than that keeps one pixel
    return decimate(image, factor, make_kernel(step["kernel"]))


def _noise(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    rng = np.random.default_rng(step["seed"])
    if step["kind"] == "gaussian":
        noisy = add_gaussian(image, step["sigma_255"], step["gray"], rng)
    elif step["kind"] == "poisson":
        noisy = add_poisson(image, step["strength"], step["gray"], rng)
    else:
        noisy = add_correlated(image, step["covariance_255"], rng)
    return np.clip(noisy, 0.0, 1.0)  # as the published pipelines do after every noise


def _codec(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    return recode(image, step["format"], step["quality"], step["subsample"], step["shift"])


def _camera(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    return camera_noise(image, step)


def _sharpen(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    return sharpen(image, step["amount"], step["radius_px"], step["threshold_255"])


def _clip(image: Picture, step: Mapping[str, Any], target: tuple[int, int]) -> Picture:
    return np.clip(image, 0.0, 1.0)


_RUN: Final[dict[str, Callable[[Picture, Mapping[str, Any], tuple[int, int]], Picture]]] = {
    "blur": _blur, "resize": _resize, "decimate": _decimate, "noise": _noise, "codec": _codec, "camera": _camera,
    "sharpen": _sharpen, "clip": _clip,
}  # fmt: skip


def check_plan(plan: Mapping[str, Any]) -> None:
    """Every key of `plan` and of its steps is known, none is missing, and each number can be worked with, or `UsageError` names it.

    A plan may come from a file (`upres degrade --replay`), so it is believed no more than a recipe is.
    """
    _check(plan, _HEAD, "a degradation plan", optional=("picture", "recipe", "sha256", "seed", "index", "sharpen"))
    if plan.get("sharpen") is not None:
        _check(plan["sharpen"], _SHARPEN, "the sharpening of a degradation plan")
    for number, step in enumerate(plan["steps"], 1):
        where = f"step {number} of a degradation plan"
        table = _object(step, where)
        op = table.get("op")
        if not isinstance(op, str) or op not in _RUN:
            raise UsageError(f"{where}: unknown op {op!r}{nearest(str(op), _RUN)}; there are {', '.join(_RUN)}")
        where = f"step {number} ({op}) of a degradation plan"
        rules = _KEYS.get(op, {})
        if op == "noise":
            kind = table.get("kind")
            if not isinstance(kind, str) or kind not in _NOISES:
                raise UsageError(f"{where}: unknown kind {kind!r}{nearest(str(kind), _NOISES)}; there are {', '.join(_NOISES)}")
            rules = {"kind": _one_of(_NOISES), **_NOISES[kind], "seed": _SEED}
        _check(table, {"op": _one_of(_RUN), **rules}, where)
        if "kernel" in rules:
            _check_kernel(table["kernel"], f"{where}, kernel")


def _check_kernel(data: object, where: str) -> None:
    kernel = _object(data, where)
    kind = kernel.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where}: unknown kind {kind!r}{nearest(str(kind), KINDS)}; there are {', '.join(KINDS)}")
    _check(kernel, {"kind": _one_of(KINDS), **{key: _KERNEL[key] for key in KINDS[kind]}}, where)


Rule = Callable[[object], str]  # what was expected, or nothing where the value will do


def _object(data: object, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise UsageError(f"{where}: expected an object, got {data!r}")
    return cast("Mapping[str, Any]", data)


def _check(data: object, rules: Mapping[str, Rule], where: str, optional: tuple[str, ...] = ()) -> None:
    table = _object(data, where)
    for key in table:
        if key not in rules:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(key, rules)}; there are {', '.join(rules)}")
    for key, rule in rules.items():
        if key in table:
            expected = rule(table[key])
            if expected:
                raise UsageError(f"{where}: {key} must be {expected}, got {table[key]!r}")
        elif key not in optional:
            raise UsageError(f"{where} lacks {key!r}")


def _real(low: float, high: float = math.inf) -> Rule:
    words = f"a number of {low:g} or more" if high == math.inf else f"a number from {low:g} to {high:g}"
    return lambda x: "" if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) and low <= x <= high else words


def _whole(low: int, high: int, *, odd: bool = False) -> Rule:
    words = f"{'an odd' if odd else 'a'} whole number from {low} to {high}"
    return lambda x: "" if isinstance(x, int) and not isinstance(x, bool) and low <= x <= high and (not odd or x % 2) else words


def _one_of(names: Iterable[str]) -> Rule:
    known = tuple(names)
    return lambda x: "" if isinstance(x, str) and x in known else f"one of {', '.join(known)}"


def _list_of(rule: Rule, count: int) -> Rule:
    def check(x: object) -> str:
        if not isinstance(x, list) or len(cast("list[object]", x)) != count:
            return f"a list of {count}"
        wrong = [words for words in map(rule, cast("list[object]", x)) if words]
        return f"a list of {count}, each {wrong[0]}" if wrong else ""

    return check


def _flag(x: object) -> str:
    return "" if isinstance(x, bool) else "true or false"


def _any(x: object) -> str:
    return ""


def _weights(x: object) -> str:
    words = _list_of(_real(0.0, 1e6), len(CAMERAS))(x)
    return words or ("" if sum(cast("list[float]", x)) > 0.0 else "weights that are not all 0")


_SEED: Final = _whole(0, 2**64 - 1)
_HEAD: Final[dict[str, Rule]] = {
    "picture": _any, "recipe": _any, "sha256": _any, "seed": _any, "index": _any, "scale": _whole(1, 1024), "sharpen": _any,
    "steps": lambda x: "" if isinstance(x, list) else "a list",
}  # fmt: skip
_SHARPEN: Final[dict[str, Rule]] = {
    "amount": _real(0.0, 100.0), "radius_px": _whole(1, 1001, odd=True), "threshold_255": _real(0.0, 255.0),
}  # fmt: skip
_KERNEL: Final[dict[str, Rule]] = {
    "size": _whole(1, 401, odd=True), "sigma_x": _real(0.0), "sigma_y": _real(0.0), "theta": _real(-7.0, 7.0), "beta": _real(1e-3, 1e3),
    "cutoff": _real(1e-3, 7.0),
}  # fmt: skip
_NOISES: Final[dict[str, dict[str, Rule]]] = {
    "gaussian": {"sigma_255": _real(0.0), "gray": _flag},
    "poisson": {"strength": _real(0.0), "gray": _flag},
    "correlated": {"covariance_255": _list_of(_list_of(_real(-1e9, 1e9), 3), 3)},
}
_GAIN: Final = _real(1e-3, 1e3)
_KEYS: Final[dict[str, dict[str, Rule]]] = {
    "blur": {"kernel": _any},
    "resize": {"of": _one_of(("input", "target")), "factor": _real(1e-6, 16.0), "mode": _one_of(MODES), "antialias": _flag},
    "decimate": {"factor": _whole(1, 1024), "kernel": _any},
    "codec": {
        "format": _one_of(FORMATS), "quality": _whole(1, 100), "subsample": _flag, "shift": _list_of(_whole(0, 7), 2),
    },
    "camera": {
        "weights": _weights, "rgb_gain": _GAIN, "red_gain": _GAIN, "blue_gain": _GAIN, "shot": _real(0.0),
        "read": _real(0.0), "seed": _SEED,
    },
    "sharpen": _SHARPEN,
}  # fmt: skip
