"""What a value of a recipe may be: each rule gives the value as the house holds it, or refuses it by file, stage and key (`UsageError`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from upres.errors import UsageError, nearest

Rule = Callable[[object, str], object]
REQUIRED: Final = object()


def table_of(data: object, rules: Mapping[str, tuple[Rule, object]], where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a table, got {data!r}")
    table = cast("dict[str, Any]", data)
    check_known(table, rules, where)
    values: dict[str, Any] = {}
    for key, (rule, default) in rules.items():
        if key in table:
            values[key] = rule(table[key], f"{where}: {key}")
        elif default is REQUIRED:
            raise UsageError(f"{where}: {key} is missing")
        else:
            values[key] = default
    return values


def check_known(data: Mapping[str, object], keys: Iterable[str], where: str) -> None:
    known = list(keys)
    for key in data:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}{nearest(key, known)}; there are {', '.join(known)}")


def finite_number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where} must be a finite number, got {value!r}")
    return float(value)


def chance(value: object, where: str) -> float:
    number = finite_number(value, where)
    if not 0.0 <= number <= 1.0:
        raise UsageError(f"{where} is a chance and must lie in [0, 1], got {value!r}")
    return number


def positive(value: object, where: str) -> float:
    number = finite_number(value, where)
    if number <= 0.0:
        raise UsageError(f"{where} must be above 0, got {value!r}")
    return number


def range_in(low: float, high: float, *, odd: bool = False, whole: bool = False, ordered: bool = True) -> Rule:
    def rule(value: object, where: str) -> tuple[float, float]:
        if not isinstance(value, list) or len(cast("list[object]", value)) != 2:
            raise UsageError(f"{where} must be a range [least, greatest], got {value!r}")
        least, greatest = (finite_number(x, where) for x in cast("list[object]", value))
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


def weights_of(allowed: Iterable[str]) -> Rule:
    names = tuple(allowed)

    def rule(value: object, where: str) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            raise UsageError(f"{where} must be a table of chances, got {value!r}")
        table = cast("dict[str, object]", value)
        check_known(table, names, where)
        chances = {key: chance(share, f"{where}.{key}") for key, share in table.items()}
        total = sum(chances.values())
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            raise UsageError(f"{where}: the chances must add up to 1, got {total:g}")
        return chances

    return rule


def flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false, got {value!r}")
    return value


def input_or_target(value: object, where: str) -> str:
    if value not in ("input", "target"):
        raise UsageError(f'{where} must be "input" or "target", got {value!r}')
    return cast(str, value)


def odd_number(value: object, where: str) -> int:
    number = finite_number(value, where)
    if not number.is_integer() or number < 1 or number % 2 == 0:
        raise UsageError(f"{where} must be an odd whole number, got {value!r}")
    return int(number)


def scales(value: object, where: str) -> tuple[int, ...]:
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(x, int) and not isinstance(x, bool) and x >= 1 for x in items):
        raise UsageError(f"{where} must be a list of scales, got {value!r}")
    return tuple(cast("list[int]", value))
