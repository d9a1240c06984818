"""Draws plans from recipes: every random number of a picture's degradation, before any pixel is processed.

There is one function per op, `(stage, rng, now) -> steps`. `now.scale` is the remaining scale: BSRGAN's first halving
halves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from upres.degradation.camera import draw_camera
from upres.degradation.stages import (
    Blur,
    Camera,
    Choose,
    Clip,
    Codec,
    Decimate,
    Divide,
    Halve,
    Noise,
    Resize,
    Shuffle,
    Sinc,
    Stage,
    ToTarget,
)

Step = dict[str, Any]
_LARGE_KERNEL_PX: Final = 13  # from here on the low-pass may cut off lower (as in Real-ESRGAN's published pipeline)


@dataclass
class Now:
    """The state between stages: the remaining scale, and that of the whole plan."""

    scale: int
    whole_scale: int


def draw_steps(stages: tuple[Stage, ...], rng: np.random.Generator, now: Now) -> list[Step]:
    """The steps of all stages, in order."""
    steps: list[Step] = []
    for stage in stages:
        steps += _draw(stage, rng, now)
    return steps


def _draw(stage: Stage, rng: np.random.Generator, now: Now) -> list[Step]:
    if stage.scales and now.whole_scale not in stage.scales:
        return []
    if stage.chance < 1.0 and rng.random() >= stage.chance:
        return []
    return _DRAW[type(stage)](stage, rng, now)


def _uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*bounds))


def _pick(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(edges / edges[-1], rng.random(), side="right"))]


def _odd_size(bounds: tuple[float, float], rng: np.random.Generator) -> int:
    low, high = (int(x) for x in bounds)
    return low + 2 * int(rng.integers((high - low) // 2 + 1))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 62))


def _blur(stage: Blur, rng: np.random.Generator, now: Now) -> list[Step]:
    size = _odd_size(stage.size, rng)
    if stage.sinc and rng.random() < stage.sinc:
        low = math.pi / 3.0 if size < _LARGE_KERNEL_PX else math.pi / 5.0
        return [{"op": "blur", "kernel": {"kind": "sinc", "size": size, "cutoff": _uniform((low, math.pi), rng)}}]
    kind = _pick(stage.kinds, rng)
    family, _, shape = kind.partition("-")
    turned = family == "anisotropic" or shape == "anisotropic"
    if turned and stage.variance is not None:
        sigma_x, sigma_y = (math.sqrt(_uniform(stage.scaled("variance", now.scale), rng)) for _ in range(2))
    else:
        sigma_x = _uniform(stage.scaled("sigma", now.scale), rng)
        sigma_y = _uniform(stage.scaled("sigma", now.scale), rng) if turned else sigma_x
    theta = _uniform(stage.theta, rng) if turned else 0.0
    beta = 1.0
    if family in ("generalised", "plateau"):
        low, high = stage.beta_generalised if family == "generalised" else stage.beta_plateau
        # either side of 1 is equally likely; a range from 1 on gives exactly 1 half of the time, as published
        beta = _uniform((low, 1.0), rng) if rng.random() < 0.5 else _uniform((1.0, high), rng)
    kernel = {"kind": family, "size": size, "sigma_x": sigma_x, "sigma_y": sigma_y, "theta": theta, "beta": beta}
    return [{"op": "blur", "kernel": kernel}]


def _sinc(stage: Sinc, rng: np.random.Generator, now: Now) -> list[Step]:
    size = _odd_size(stage.size, rng)
    return [{"op": "blur", "kernel": {"kind": "sinc", "size": size, "cutoff": _uniform(stage.cutoff, rng)}}]


def _resize_step(stage: Resize | ToTarget | Halve | Divide, rng: np.random.Generator, of: str, factor: float) -> Step:
    mode = _pick(stage.modes, rng)
    antialias = bool(stage.antialias and rng.random() < stage.antialias)
    return {"op": "resize", "of": of, "factor": factor, "mode": mode, "antialias": antialias}


def _resize(stage: Resize, rng: np.random.Generator, now: Now) -> list[Step]:
    direction = _pick(stage.directions, rng)
    low, high = stage.factor
    factor = {"up": lambda: _uniform((1.0, high), rng), "down": lambda: _uniform((low, 1.0), rng), "keep": lambda: 1.0}[
        direction
    ]()
    return [_resize_step(stage, rng, stage.of, factor)]


def _to_target(stage: ToTarget, rng: np.random.Generator, now: Now) -> list[Step]:
    return [_resize_step(stage, rng, "target", 1.0)]


def _halve(stage: Halve, rng: np.random.Generator, now: Now) -> list[Step]:
    now.scale = max(1, now.scale // 2)
    return [_resize_step(stage, rng, "input", 0.5)]


def _divide(stage: Divide, rng: np.random.Generator, now: Now) -> list[Step]:
    low, high = stage.scaled("factor", now.scale)
    return [_resize_step(stage, rng, "input", 1.0 / max(1.0, _uniform((low, max(low, high)), rng)))]


def _decimate(stage: Decimate, rng: np.random.Generator, now: Now) -> list[Step]:
    sigma = _uniform(stage.scaled("sigma", now.scale), rng)
    kernel = {"kind": "isotropic", "size": stage.size, "sigma_x": sigma, "sigma_y": sigma, "theta": 0.0, "beta": 1.0}
    return [{"op": "decimate", "factor": now.scale, "kernel": kernel}]


def _noise(stage: Noise, rng: np.random.Generator, now: Now) -> list[Step]:
    kind = _pick(stage.kinds, rng)
    if kind == "correlated":
        basis, _ = np.linalg.qr(rng.random((3, 3)))
        covariance = stage.correlated_sigma_255**2 * np.abs(basis.T @ np.diag(rng.random(3)) @ basis)
        return [{"op": "noise", "kind": kind, "covariance_255": covariance.tolist(), "seed": _seed(rng)}]
    if kind == "gaussian":
        assert stage.sigma_255 is not None  # the recipe was checked
        low, high = stage.sigma_255
        sigma = float(rng.integers(int(low), int(high) + 1)) if stage.whole_sigma else _uniform((low, high), rng)
        return [{"op": "noise", "kind": kind, "sigma_255": sigma, "gray": _is_gray(stage, rng), "seed": _seed(rng)}]
    assert stage.strength is not None
    strength = _uniform(stage.strength, rng)
    return [{"op": "noise", "kind": kind, "strength": strength, "gray": _is_gray(stage, rng), "seed": _seed(rng)}]


def _is_gray(stage: Noise, rng: np.random.Generator) -> bool:
    return bool(rng.random() < stage.gray)


def _codec(stage: Codec, rng: np.random.Generator, now: Now) -> list[Step]:
    low, high = (int(x) for x in stage.quality)
    step: Step = {"op": "codec", "format": _pick(stage.formats, rng), "quality": int(rng.integers(low, high + 1))}
    step["subsample"] = bool(rng.random() < stage.subsample)
    shifted = stage.shifted and rng.random() < stage.shifted
    step["shift"] = [int(x) for x in rng.integers(8, size=2)] if shifted else [0, 0]
    return [step]


def _camera(stage: Camera, rng: np.random.Generator, now: Now) -> list[Step]:
    return [{"op": "camera", **draw_camera(rng)}]


def _clip(stage: Clip, rng: np.random.Generator, now: Now) -> list[Step]:
    return [{"op": "clip"}]


def _choose(stage: Choose, rng: np.random.Generator, now: Now) -> list[Step]:
    edges = np.cumsum([option.chance for option in stage.option])
    chosen = stage.option[int(np.searchsorted(edges / edges[-1], rng.random(), side="right"))]
    return draw_steps(chosen.stage, rng, now)


def _shuffle(stage: Shuffle, rng: np.random.Generator, now: Now) -> list[Step]:
    """All stages in random order; `to-target` is swapped with the last stage that downscales, if that comes later."""
    stages = stage.stage
    order = [int(i) for i in rng.permutation(len(stages))]
    last = next((place for place, i in enumerate(order) if isinstance(stages[i], ToTarget)), None)
    if last is not None:
        reducing = [
            place for place, i in enumerate(order) if isinstance(stages[i], Divide | Decimate | Choose) and place > last
        ]
        if reducing:
            order[last], order[reducing[-1]] = order[reducing[-1]], order[last]
    return draw_steps(tuple(stages[i] for i in order), rng, now)


_DRAW: Final[dict[type[Stage], Callable[[Any, np.random.Generator, Now], list[Step]]]] = {
    Blur: _blur, Sinc: _sinc, Resize: _resize, ToTarget: _to_target, Halve: _halve, Divide: _divide,
    Decimate: _decimate, Noise: _noise, Codec: _codec, Camera: _camera, Clip: _clip, Choose: _choose, Shuffle: _shuffle,
}  # fmt: skip
