"""Sizes as people write and read them: "2G", "640 MB"."""

from __future__ import annotations

import re

from upres.errors import UsageError

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MIN_BUDGET = 64 * 1024**2


def parse_bytes(text: str, name: str = "memory_bytes") -> int:
    """`"2G"`, `"512M"`, `"1.5GiB"` or plain bytes -> bytes (binary units).

    Raises `UsageError`, which says that the parameter `name` is wrong, for anything else and below 64 MB.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None:
        raise UsageError(f"`{name}` expects a size such as 2G or 512M, got {text!r}")
    value = int(float(match[1]) * _UNITS[match[2]])
    if value < _MIN_BUDGET:
        raise UsageError(f"`{name}={text}` is {value:,} bytes, too little to work in: give at least 64M (2G means 2 gigabytes)")
    return value


def format_bytes(value: float) -> str:
    """Bytes for people, three digits at most: `"640 MB"`, `"1.5 GB"` (binary units, as `parse_bytes` reads them)."""
    for unit, size in (("GB", 1024**3), ("MB", 1024**2)):
        if value >= size:
            amount = value / size
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{max(1, round(value / 1024)):,} KB"
