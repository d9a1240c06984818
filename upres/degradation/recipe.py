"""Degradation recipes as data: TOML in, checked values out. What is wrong is refused by file, stage and key before anything is drawn.

A recipe is a list of stages; each has an `op` and the keys that the op knows (docs/degrade.md has the table). Numbers that depend on the
scale have a `_per_scale` twin: the value is key + key_per_scale * scale.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from upres.degradation.codecs import FORMATS
from upres.degradation.filters import MODES
from upres.degradation.recipe_values import (
    REQUIRED,
    Rule,
    chance,
    check_known,
    finite_number,
    flag,
    input_or_target,
    odd_number,
    positive,
    range_in,
    scales,
    table_of,
    weights_of,
)
from upres.errors import DataError, UsageError, nearest

KINDS: Final = (
    "isotropic", "anisotropic", "generalised-isotropic", "generalised-anisotropic", "plateau-isotropic", "plateau-anisotropic",
)  # fmt: skip
_FOLDER: Final = Path(__file__).resolve().parent / "recipes"
BUILT_IN: Final = ("real-esrgan", "bsrgan", "wild", "bicubic")


@dataclass(frozen=True)
class Sharpen:
    """Unsharp masking of the target (upres/degradation/filters.py)."""

    amount: float
    radius_px: int
    threshold_255: float


@dataclass(frozen=True)
class Stage:
    """One operation to draw; `values` hold every key of the op, given or default."""

    op: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """`sha256` is that of what the file says, not of its spaces and comments. `target` is None where HR is the target as it is."""

    name: str
    source: str
    stages: tuple[Stage, ...]
    target: Sharpen | None
    sha256: str


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A built-in recipe by name, or a `.toml` file. Raises `UsageError` for an unknown name or key and for values that cannot be drawn."""
    if isinstance(name_or_path, str) and not name_or_path.lower().endswith(".toml"):
        if name_or_path not in BUILT_IN:
            raise UsageError(
                f"unknown degradation recipe {name_or_path!r}{nearest(name_or_path, BUILT_IN)}; there are {', '.join(BUILT_IN)}, "
                "or give a .toml file"
            )
        path = _FOLDER / f"{name_or_path}.toml"
    else:
        path = Path(name_or_path)
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the degradation recipe {path} cannot be read: {error}") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """The recipe that TOML `text` holds; `where` names it in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML: {error}") from error
    check_known(data, ("name", "source", "target", "stage"), where)
    for key in ("name", "source"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise UsageError(f'{where}: expected {key} = "...", got {data.get(key)!r}')
    target = None
    if "target" in data:
        values = table_of(data["target"], _TARGET, f"{where}, [target]")
        target = Sharpen(values["amount"], values["radius_px"], values["threshold_255"])
    stages = _stages(data.get("stage"), where)
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return Recipe(data["name"], data["source"], stages, target, hashlib.sha256(canonical.encode()).hexdigest())


def _stages(data: object, where: str) -> tuple[Stage, ...]:
    if not isinstance(data, list) or not data:
        raise UsageError(f"{where}: expected at least one [[stage]]")
    return tuple(_stage(entry, f"{where}, stage {number}") for number, entry in enumerate(cast("list[object]", data), 1))


def _stage(data: object, where: str) -> Stage:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a table, got {data!r}")
    table = cast("dict[str, Any]", data)
    op = table.get("op")
    if not isinstance(op, str) or op not in OPS:
        raise UsageError(f"{where}: unknown op {op!r}{nearest(str(op), OPS)}; there are {', '.join(OPS)}")
    here = f"{where} ({op})"
    values = table_of({k: v for k, v in table.items() if k != "op"}, OPS[op], here)
    for key in values:
        if f"{key}_per_scale" in values and values[key] is not None:
            (low, high), (low_more, high_more) = values[key], values[f"{key}_per_scale"]
            for scale in values["scales"] or (1, _GREATEST_SCALE):  # a straight line: in order at both ends is in order between
                if low + low_more * scale > high + high_more * scale:
                    found = f"{low + low_more * scale:g} to {high + high_more * scale:g}"
                    raise UsageError(f"{here}: {key} is upside down at scale {scale}: {found}")
    _agree(op, values, table, here)
    return Stage(op, values)


def _agree(op: str, values: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    """What no key says alone: a kind that is drawn needs its numbers, and a range that is split at 1 must hold 1."""
    for weights, name, keys in _NEEDS.get(op, ()):
        needed = weights is None or values[weights].get(name, 0.0) > 0.0
        if needed and not any(key in given for key in keys):
            raise UsageError(f"{where}: {keys[0]} is missing" + (f", and {weights}.{name} is {values[weights][name]:g}" if weights else ""))
    if op == "blur":
        turned_only = all("anisotropic" in kind for kind, chance in values["kinds"].items() if chance > 0.0)
        if "variance_per_scale" in given and "variance" not in given:
            raise UsageError(f"{where}: variance is missing, and variance_per_scale adds to it")
        if not ("sigma" in given or "sigma_per_scale" in given or ("variance" in given and turned_only)):
            raise UsageError(f"{where}: sigma is missing")
        for family in ("generalised", "plateau"):
            low, high = values[f"beta_{family}"]
            if not low <= 1.0 <= high:
                raise UsageError(f"{where}: beta_{family} must be a range with 1 in it, got [{low:g}, {high:g}]")
    if op == "resize":
        low, high = values["factor"]
        for direction, wrong in (("up", high < 1.0), ("down", low > 1.0)):
            if wrong and values["directions"].get(direction, 0.0) > 0.0:
                side = "above" if direction == "up" else "below"
                raise UsageError(f"{where}: factor must reach {side} 1 for directions.{direction}, got [{low:g}, {high:g}]")
    if op == "noise" and values["whole_sigma"] and not all(sigma.is_integer() for sigma in values["sigma_255"]):
        raise UsageError(f"{where}: sigma_255 must be whole numbers where whole_sigma is true, got {list(values['sigma_255'])}")


_GREATEST_SCALE: Final = 16  # that `upres degrade` takes
# op -> (table of chances, the chance that needs it, the keys of which one must be given); None: always
_NEEDS: Final[dict[str, tuple[tuple[str | None, str, tuple[str, ...]], ...]]] = {
    "divide": ((None, "", ("factor", "factor_per_scale")),),
    "decimate": ((None, "", ("sigma", "sigma_per_scale")),),
    "noise": (("kinds", "gaussian", ("sigma_255",)), ("kinds", "poisson", ("strength",))),
}


def _options(value: object, where: str) -> tuple[tuple[float, tuple[Stage, ...]], ...]:
    if not isinstance(value, list) or len(cast("list[object]", value)) < 2:
        raise UsageError(f"{where} must be two [[...option]] at least")
    options: list[tuple[float, tuple[Stage, ...]]] = []
    for number, entry in enumerate(cast("list[object]", value), 1):
        here = f"{where} {number}"
        values = table_of(entry, {"chance": (chance, REQUIRED), "stage": (lambda x, w: () if x == [] else _stages(x, w), ())}, here)
        options.append((values["chance"], values["stage"]))
    total = sum(chance for chance, _ in options)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise UsageError(f"{where}: the chances must add up to 1, got {total:g}")
    return tuple(options)


_EVERY: Final[dict[str, tuple[Rule, object]]] = {"chance": (chance, 1.0), "scales": (scales, ())}  # scales: only at these; none: at all
_MODE_WEIGHTS: Final = weights_of(MODES)
_SIGMA: Final = range_in(0.0, 1000.0)
_PART: Final = range_in(0.0, 1000.0, ordered=False)  # one of two whose sum is the range

OPS: Final[dict[str, dict[str, tuple[Rule, object]]]] = {
    "blur": {
        **_EVERY, "size": (range_in(1, 201, odd=True), REQUIRED), "kinds": (weights_of(KINDS), REQUIRED),
        "sigma": (_PART, (0.0, 0.0)), "sigma_per_scale": (_PART, (0.0, 0.0)),
        "variance": (_PART, None), "variance_per_scale": (_PART, (0.0, 0.0)),
        "theta": (range_in(-math.pi, math.pi), (-math.pi, math.pi)),
        "beta_generalised": (range_in(0.01, 100), (0.5, 4.0)), "beta_plateau": (range_in(0.01, 100), (1.0, 2.0)), "sinc": (chance, 0.0),
    },
    "sinc": {**_EVERY, "size": (range_in(1, 201, odd=True), REQUIRED), "cutoff": (range_in(0.01, math.pi), REQUIRED)},
    "resize": {
        **_EVERY, "of": (input_or_target, "input"), "directions": (weights_of(("up", "down", "keep")), REQUIRED),
        "factor": (range_in(0.01, 16.0), REQUIRED), "modes": (_MODE_WEIGHTS, REQUIRED), "antialias": (chance, 0.0),
    },
    "to-target": {**_EVERY, "modes": (_MODE_WEIGHTS, REQUIRED), "antialias": (chance, 0.0)},
    "halve": {**_EVERY, "modes": (_MODE_WEIGHTS, REQUIRED), "antialias": (chance, 0.0)},
    "divide": {
        **_EVERY, "factor": (_PART, (0.0, 0.0)), "factor_per_scale": (_PART, (0.0, 0.0)),
        "modes": (_MODE_WEIGHTS, REQUIRED), "antialias": (chance, 0.0),
    },
    "decimate": {
        **_EVERY, "size": (odd_number, REQUIRED), "sigma": (_PART, (0.0, 0.0)), "sigma_per_scale": (_PART, (0.0, 0.0)),
    },
    "noise": {
        **_EVERY, "kinds": (weights_of(("gaussian", "poisson", "correlated")), REQUIRED), "sigma_255": (_SIGMA, (0.0, 0.0)),
        "whole_sigma": (flag, False), "strength": (_SIGMA, (0.0, 0.0)), "gray": (chance, 0.0), "correlated_sigma_255": (positive, 25.0),
    },
    "codec": {
        **_EVERY, "formats": (weights_of(FORMATS), REQUIRED), "quality": (range_in(1, 100, whole=True), REQUIRED),
        "subsample": (chance, 1.0), "shifted": (chance, 0.0),
    },
    "camera": {**_EVERY},
    "clip": {**_EVERY},
    "choose": {**_EVERY, "option": (_options, REQUIRED)},
    "shuffle": {**_EVERY, "stage": (lambda value, where: _stages(value, where), REQUIRED)},
}  # fmt: skip
_TARGET: Final[dict[str, tuple[Rule, object]]] = {
    "amount": (positive, REQUIRED), "radius_px": (odd_number, REQUIRED), "threshold_255": (finite_number, REQUIRED),
}  # fmt: skip
