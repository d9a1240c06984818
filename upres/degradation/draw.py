"""From a recipe to a plan: every random number of one picture's degradation, drawn before a pixel is touched.

A function an op, each `(values, rng, now) -> steps`. `now.scale` is what is left to reduce by: BSRGAN's first halving leaves half of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from upres.degradation.camera import draw_camera
from upres.degradation.recipe import Stage

Step = dict[str, Any]
_LARGE_KERNEL_PX: Final = 13  # from here on the low-pass may cut deeper (Real-ESRGAN's published pipeline)


@dataclass
class Now:
    """What earlier stages left: the scale still to be reached."""

    scale: int
    whole_scale: int


def draw_steps(stages: tuple[Stage, ...], rng: np.random.Generator, now: Now) -> list[Step]:
    """The steps of all stages in their order."""
    steps: list[Step] = []
    for stage in stages:
        steps += _draw(stage, rng, now)
    return steps


def _draw(stage: Stage, rng: np.random.Generator, now: Now) -> list[Step]:
    values = stage.values
    if values["scales"] and now.whole_scale not in values["scales"]:
        return []
    if values["chance"] < 1.0 and rng.random() >= values["chance"]:
        return []
    return _DRAW[stage.op](values, rng, now)


def _uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*bounds))


def _scaled(values: Mapping[str, Any], key: str, now: Now) -> tuple[float, float]:
    """The range of `key` at the present scale."""
    low, high = values[key] or (0.0, 0.0)
    more = values[f"{key}_per_scale"]
    return low + more[0] * now.scale, high + more[1] * now.scale


def _pick(weights: Mapping[str, float], rng: np.random.Generator) -> str:
    names = list(weights)
    edges = np.cumsum([weights[name] for name in names])
    return names[int(np.searchsorted(edges / edges[-1], rng.random(), side="right"))]


def _odd_size(bounds: tuple[float, float], rng: np.random.Generator) -> int:
    low, high = (int(x) for x in bounds)
    return low + 2 * int(rng.integers((high - low) // 2 + 1))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 62))


def _blur(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    size = _odd_size(values["size"], rng)
    if values["sinc"] and rng.random() < values["sinc"]:
        low = math.pi / 3.0 if size < _LARGE_KERNEL_PX else math.pi / 5.0
        return [{"op": "blur", "kernel": {"kind": "sinc", "size": size, "cutoff": _uniform((low, math.pi), rng)}}]
    kind = _pick(values["kinds"], rng)
    family, _, shape = kind.partition("-")
    turned = family == "anisotropic" or shape == "anisotropic"
    if turned and values["variance"] is not None:
        sigma_x, sigma_y = (math.sqrt(_uniform(_scaled(values, "variance", now), rng)) for _ in range(2))
    else:
        sigma_x = _uniform(_scaled(values, "sigma", now), rng)
        sigma_y = _uniform(_scaled(values, "sigma", now), rng) if turned else sigma_x
    theta = _uniform(values["theta"], rng) if turned else 0.0
    beta = 1.0
    if family in ("generalised", "plateau"):
        low, high = values[f"beta_{family}"]
        # a coin chooses the side of 1; a range that begins at 1 gives exactly 1 half of the time, as published
        beta = _uniform((low, 1.0), rng) if rng.random() < 0.5 else _uniform((1.0, high), rng)
    kernel = {"kind": family, "size": size, "sigma_x": sigma_x, "sigma_y": sigma_y, "theta": theta, "beta": beta}
    return [{"op": "blur", "kernel": kernel}]


def _sinc(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    size = _odd_size(values["size"], rng)
    return [{"op": "blur", "kernel": {"kind": "sinc", "size": size, "cutoff": _uniform(values["cutoff"], rng)}}]


def _resize_step(values: Mapping[str, Any], rng: np.random.Generator, of: str, factor: float) -> Step:
    mode = _pick(values["modes"], rng)
    antialias = bool(values["antialias"] and rng.random() < values["antialias"])
    return {"op": "resize", "of": of, "factor": factor, "mode": mode, "antialias": antialias}


def _resize(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    direction = _pick(values["directions"], rng)
    low, high = values["factor"]
    factor = {"up": lambda: _uniform((1.0, high), rng), "down": lambda: _uniform((low, 1.0), rng), "keep": lambda: 1.0}[direction]()
    return [_resize_step(values, rng, values["of"], factor)]


def _to_target(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    return [_resize_step(values, rng, "target", 1.0)]


def _halve(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    now.scale = max(1, now.scale // 2)
    return [_resize_step(values, rng, "input", 0.5)]


def _divide(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    low, high = _scaled(values, "factor", now)
    return [_resize_step(values, rng, "input", 1.0 / max(1.0, _uniform((low, max(low, high)), rng)))]


def _decimate(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    sigma = _uniform(_scaled(values, "sigma", now), rng)
    kernel = {"kind": "isotropic", "size": values["size"], "sigma_x": sigma, "sigma_y": sigma, "theta": 0.0, "beta": 1.0}
    return [{"op": "decimate", "factor": now.scale, "kernel": kernel}]


def _noise(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    kind = _pick(values["kinds"], rng)
    if kind == "correlated":
        basis, _ = np.linalg.qr(rng.random((3, 3)))
        covariance = values["correlated_sigma_255"] ** 2 * np.abs(basis.T @ np.diag(rng.random(3)) @ basis)
        return [{"op": "noise", "kind": kind, "covariance_255": covariance.tolist(), "seed": _seed(rng)}]
    if kind == "gaussian":
        low, high = values["sigma_255"]
        sigma = float(rng.integers(int(low), int(high) + 1)) if values["whole_sigma"] else _uniform((low, high), rng)
        return [{"op": "noise", "kind": kind, "sigma_255": sigma, "gray": _is_gray(values, rng), "seed": _seed(rng)}]
    strength = _uniform(values["strength"], rng)
    return [{"op": "noise", "kind": kind, "strength": strength, "gray": _is_gray(values, rng), "seed": _seed(rng)}]


def _is_gray(values: Mapping[str, Any], rng: np.random.Generator) -> bool:
    return bool(rng.random() < values["gray"])


def _codec(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    low, high = (int(x) for x in values["quality"])
    step: Step = {"op": "codec", "format": _pick(values["formats"], rng), "quality": int(rng.integers(low, high + 1))}
    step["subsample"] = bool(rng.random() < values["subsample"])
    shifted = values["shifted"] and rng.random() < values["shifted"]
    step["shift"] = [int(x) for x in rng.integers(8, size=2)] if shifted else [0, 0]
    return [step]


def _camera(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    return [{"op": "camera", **draw_camera(rng)}]


def _clip(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    return [{"op": "clip"}]


def _choose(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    edges = np.cumsum([chance for chance, _ in values["option"]])
    _, stages = values["option"][int(np.searchsorted(edges / edges[-1], rng.random(), side="right"))]
    return draw_steps(stages, rng, now)


def _shuffle(values: Mapping[str, Any], rng: np.random.Generator, now: Now) -> list[Step]:
    """All stages in a random order, but `to-target` after whatever else reduces: the two change places where they fell otherwise."""
    stages: tuple[Stage, ...] = values["stage"]
    order = [int(i) for i in rng.permutation(len(stages))]
    last = next((place for place, i in enumerate(order) if stages[i].op == "to-target"), None)
    if last is not None:
        reducing = [place for place, i in enumerate(order) if stages[i].op in ("divide", "decimate", "choose") and place > last]
        if reducing:
            order[last], order[reducing[-1]] = order[reducing[-1]], order[last]
    return draw_steps(tuple(stages[i] for i in order), rng, now)


_DRAW: Final[dict[str, Callable[[Mapping[str, Any], np.random.Generator, Now], list[Step]]]] = {
    "blur": _blur, "sinc": _sinc, "resize": _resize, "to-target": _to_target, "halve": _halve, "divide": _divide, "decimate": _decimate,
    "noise": _noise, "codec": _codec, "camera": _camera, "clip": _clip, "choose": _choose, "shuffle": _shuffle,
}  # fmt: skip
