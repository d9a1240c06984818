"""Degradation recipes as data: TOML in, checked values out. What is wrong is refused by file, stage and key before anything is drawn.

A recipe is a list of stages; each has an `op` and the keys that the op knows (docs/degrade.md has the table). Numbers that depend on the
scale have a `_per_scale` twin: the value is key + key_per_scale * scale.
"""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from upres.degradation.codecs import FORMATS
from upres.degradation.filters import MODES
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
    _known(data, ("name", "source", "target", "stage"), where)
    for key in ("name", "source"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise UsageError(f"{where}: expected {key} = \"...\", got {data.get(key)!r}")
    target = None
    if "target" in data:
        values = _values(data["target"], _TARGET, f"{where}, [target]")
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
    values = _values({k: v for k, v in table.items() if k != "op"}, OPS[op], here)
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


Rule = Callable[[object, str], object]
_REQUIRED: Final = object()
_GREATEST_SCALE: Final = 16  # that `upres degrade` takes
# op -> (table of chances, the chance that needs it, the keys of which one must be given); None: always
_NEEDS: Final[dict[str, tuple[tuple[str | None, str, tuple[str, ...]], ...]]] = {
    "divide": ((None, "", ("factor", "factor_per_scale")),),
    "decimate": ((None, "", ("sigma", "sigma_per_scale")),),
    "noise": (("kinds", "gaussian", ("sigma_255",)), ("kinds", "poisson", ("strength",))),
}


def _values(data: object, rules: Mapping[str, tuple[Rule, object]], where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a table, got {data!r}")
    table = cast("dict[str, Any]", data)
    _known(table, rules, where)
    values: dict[str, Any] = {}
    for key, (rule, default) in rules.items():
        if key in table:
            values[key] = rule(table[key], f"{where}: {key}")
        elif default is _REQUIRED:
            raise UsageError(f"{where}: {key} is missing")
        else:
            values[key] = default
    return values


def _known(data: Mapping[str, object], keys: Iterable[str], where: str) -> None:
    known = list(keys)
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(key, known)}; there are {', '.join(known)}")


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def _chance(value: object, where: str) -> float:
    chance = _number(value, where)
    if not 0.0 <= chance <= 1.0:
        raise UsageError(f"{where} is a chance and must lie in [0, 1], got {value!r}")
    return chance


def _positive(value: object, where: str) -> float:
    number = _number(value, where)
    if number <= 0.0:
        raise UsageError(f"{where} must be above 0, got {value!r}")
    return number


def _range(low: float, high: float, *, odd: bool = False, whole: bool = False, ordered: bool = True) -> Rule:
    def rule(value: object, where: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(cast("list[object]", value)) != 2:
            raise UsageError(f"{where} must be a range [least, greatest], got {value!r}")
        least, greatest = (_number(x, where) for x in cast("list[object]", value))
        if ordered and least > greatest:
            raise UsageError(f"{where} is upside down: expected [least, greatest], got {value!r}")
        if not low <= min(least, greatest) or not max(least, greatest) <= high:
            raise UsageError(f"{where} must lie in [{low:g}, {high:g}], got {value!r}")
        if (whole or odd) and not (least.is_integer() and greatest.is_integer()):
            raise UsageError(f"{where} must be whole numbers, got {value!r}")
        if odd and not (least % 2 and greatest % 2):
            raise UsageError(f"{where} are sizes of kernels and must be odd, got {value!r}")
        return least, greatest

    return rule


def _weights(allowed: Iterable[str]) -> Rule:
    names = tuple(allowed)

    def rule(value: object, where: str) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            raise UsageError(f"{where} must be a table of chances, got {value!r}")
        table = cast("dict[str, object]", value)
        _known(table, names, where)
        chances = {key: _chance(chance, f"{where}.{key}") for key, chance in table.items()}
        total = sum(chances.values())
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise UsageError(f"{where}: the chances must add up to 1, got {total:g}")
        return chances

    return rule


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false, got {value!r}")
    return value


def _of(value: object, where: str) -> str:
    if value not in ("input", "target"):
        raise UsageError(f'{where} must be "input" or "target", got {value!r}')
    return cast(str, value)


def _odd(value: object, where: str) -> int:
    number = _number(value, where)
    if not number.is_integer() or number < 1 or number % 2 == 0:
        raise UsageError(f"{where} must be an odd whole number, got {value!r}")
    return int(number)


def _scales(value: object, where: str) -> tuple[int, ...]:
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(x, int) and not isinstance(x, bool) and x >= 1 for x in items):
        raise UsageError(f"{where} must be a list of scales, got {value!r}")
    return tuple(cast("list[int]", value))


def _options(value: object, where: str) -> tuple[tuple[float, tuple[Stage, ...]], ...]:
    if not isinstance(value, list) or len(cast("list[object]", value)) < 2:
        raise UsageError(f"{where} must be two [[...option]] at least")
    options: list[tuple[float, tuple[Stage, ...]]] = []
    for number, entry in enumerate(cast("list[object]", value), 1):
        here = f"{where} {number}"
        values = _values(entry, {"chance": (_chance, _REQUIRED), "stage": (lambda x, w: () if x == [] else _stages(x, w), ())}, here)
        options.append((values["chance"], values["stage"]))
    total = sum(chance for chance, _ in options)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise UsageError(f"{where}: the chances must add up to 1, got {total:g}")
    return tuple(options)


_EVERY: Final[dict[str, tuple[Rule, object]]] = {"chance": (_chance, 1.0), "scales": (_scales, ())}  # scales: only at these; none: at all
_MODE_WEIGHTS: Final = _weights(MODES)
_SIGMA: Final = _range(0.0, 1000.0)
_PART: Final = _range(0.0, 1000.0, ordered=False)  # one of two whose sum is the range

OPS: Final[dict[str, dict[str, tuple[Rule, object]]]] = {
    "blur": {
        **_EVERY, "size": (_range(1, 201, odd=True), _REQUIRED), "kinds": (_weights(KINDS), _REQUIRED),
        "sigma": (_PART, (0.0, 0.0)), "sigma_per_scale": (_PART, (0.0, 0.0)),
        "variance": (_PART, None), "variance_per_scale": (_PART, (0.0, 0.0)),
        "theta": (_range(-math.pi, math.pi), (-math.pi, math.pi)),
        "beta_generalised": (_range(0.01, 100), (0.5, 4.0)), "beta_plateau": (_range(0.01, 100), (1.0, 2.0)), "sinc": (_chance, 0.0),
    },
    "sinc": {**_EVERY, "size": (_range(1, 201, odd=True), _REQUIRED), "cutoff": (_range(0.01, math.pi), _REQUIRED)},
    "resize": {
        **_EVERY, "of": (_of, "input"), "directions": (_weights(("up", "down", "keep")), _REQUIRED),
        "factor": (_range(0.01, 16.0), _REQUIRED), "modes": (_MODE_WEIGHTS, _REQUIRED), "antialias": (_chance, 0.0),
    },
    "to-target": {**_EVERY, "modes": (_MODE_WEIGHTS, _REQUIRED), "antialias": (_chance, 0.0)},
    "halve": {**_EVERY, "modes": (_MODE_WEIGHTS, _REQUIRED), "antialias": (_chance, 0.0)},
    "divide": {
        **_EVERY, "factor": (_PART, (0.0, 0.0)), "factor_per_scale": (_PART, (0.0, 0.0)),
        "modes": (_MODE_WEIGHTS, _REQUIRED), "antialias": (_chance, 0.0),
    },
    "decimate": {
        **_EVERY, "size": (_odd, _REQUIRED), "sigma": (_PART, (0.0, 0.0)), "sigma_per_scale": (_PART, (0.0, 0.0)),
    },
    "noise": {
        **_EVERY, "kinds": (_weights(("gaussian", "poisson", "correlated")), _REQUIRED), "sigma_255": (_SIGMA, (0.0, 0.0)),
        "whole_sigma": (_flag, False), "strength": (_SIGMA, (0.0, 0.0)), "gray": (_chance, 0.0), "correlated_sigma_255": (_positive, 25.0),
    },
    "codec": {
        **_EVERY, "formats": (_weights(FORMATS), _REQUIRED), "quality": (_range(1, 100, whole=True), _REQUIRED),
        "subsample": (_chance, 1.0), "shifted": (_chance, 0.0),
    },
    "camera": {**_EVERY},
    "clip": {**_EVERY},
    "choose": {**_EVERY, "option": (_options, _REQUIRED)},
    "shuffle": {**_EVERY, "stage": (lambda value, where: _stages(value, where), _REQUIRED)},
}  # fmt: skip
_TARGET: Final[dict[str, tuple[Rule, object]]] = {
    "amount": (_positive, _REQUIRED), "radius_px": (_odd, _REQUIRED), "threshold_255": (_number, _REQUIRED),
}  # fmt: skip
