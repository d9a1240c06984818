"""Validation of degradation plans: keys, types and ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from upres.degradation.camera import CAMERAS
from upres.degradation.codecs import FORMATS
from upres.degradation.filters import MODES
from upres.degradation.kernels import KINDS
from upres.errors import UsageError, nearest

Rule = Callable[[object], str]  # what was expected; empty for a valid value


def check_plan(plan: Mapping[str, Any]) -> None:
    """Raises `UsageError` naming the first unknown, missing or invalid key of `plan` or its steps; plans may come from
    files.
    """
    _check(plan, _HEAD, "a degradation plan", optional=("picture", "recipe", "sha256", "seed", "index", "sharpen"))
    if plan.get("sharpen") is not None:
        check_sharpening(plan["sharpen"])
    for number, step in enumerate(plan["steps"], 1):
        where = f"step {number} of a degradation plan"
        table = _object(step, where)
        op = table.get("op")
        if not isinstance(op, str) or op not in _KEYS:
            raise UsageError(f"{where}: unknown op {op!r}{nearest(str(op), _KEYS)}; there are {', '.join(_KEYS)}")
        where = f"step {number} ({op}) of a degradation plan"
        rules = _KEYS[op]
        if op == "noise":
            kind = table.get("kind")
            if not isinstance(kind, str) or kind not in _NOISES:
                raise UsageError(
                    f"{where}: unknown kind {kind!r}{nearest(str(kind), _NOISES)}; there are {', '.join(_NOISES)}"
                )
            rules = {"kind": _one_of(_NOISES), **_NOISES[kind], "seed": _SEED}
        _check(table, {"op": _one_of(_KEYS), **rules}, where)
        if "kernel" in rules:
            _check_kernel(table["kernel"], f"{where}, kernel")


def check_sharpening(target: object) -> None:
    """Raises `UsageError` if `target` is not a valid sharpening of HR."""
    _check(target, _SHARPEN, "the sharpening of a degradation plan")


def _check_kernel(data: object, where: str) -> None:
    kernel = _object(data, where)
    kind = kernel.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"{where}: unknown kind {kind!r}{nearest(str(kind), KINDS)}; there are {', '.join(KINDS)}")
    _check(kernel, {"kind": _one_of(KINDS), **{key: _KERNEL[key] for key in KINDS[kind]}}, where)


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
    return lambda x: (
        ""
        if isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) and low <= x <= high
        else words
    )


def _whole(low: int, high: int, *, odd: bool = False) -> Rule:
    words = f"{'an odd' if odd else 'a'} whole number from {low} to {high}"
    return lambda x: (
        "" if isinstance(x, int) and not isinstance(x, bool) and low <= x <= high and (not odd or x % 2) else words
    )


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
    "picture": _any, "recipe": _any, "sha256": _any, "seed": _any, "index": _any, "scale": _whole(1, 1024),
    "sharpen": _any, "steps": lambda x: "" if isinstance(x, list) else "a list",
}  # fmt: skip
_SHARPEN: Final[dict[str, Rule]] = {
    "amount": _real(0.0, 100.0), "radius_px": _whole(1, 1001, odd=True), "threshold_255": _real(0.0, 255.0),
}  # fmt: skip
_KERNEL: Final[dict[str, Rule]] = {
    "size": _whole(1, 401, odd=True), "sigma_x": _real(0.0), "sigma_y": _real(0.0), "theta": _real(-7.0, 7.0),
    "beta": _real(1e-3, 1e3), "cutoff": _real(1e-3, 7.0),
}  # fmt: skip
_NOISES: Final[dict[str, dict[str, Rule]]] = {
    "gaussian": {"sigma_255": _real(0.0), "gray": _flag},
    "poisson": {"strength": _real(0.0), "gray": _flag},
    "correlated": {"covariance_255": _list_of(_list_of(_real(-1e9, 1e9), 3), 3)},
}
_GAIN: Final = _real(1e-3, 1e3)
_KEYS: Final[dict[str, dict[str, Rule]]] = {
    "blur": {"kernel": _any},
    "resize": {
        "of": _one_of(("input", "target")), "factor": _real(1e-6, 16.0), "mode": _one_of(MODES), "antialias": _flag,
    },
    "decimate": {"factor": _whole(1, 1024), "kernel": _any},
    "noise": {},  # those of its kind
    "codec": {
        "format": _one_of(FORMATS), "quality": _whole(1, 100), "subsample": _flag, "shift": _list_of(_whole(0, 7), 2),
    },
    "camera": {
        "weights": _weights, "rgb_gain": _GAIN, "red_gain": _GAIN, "blue_gain": _GAIN, "shot": _real(0.0),
        "read": _real(0.0), "seed": _SEED,
    },
    "sharpen": _SHARPEN,
    "clip": {},
}  # fmt: skip
