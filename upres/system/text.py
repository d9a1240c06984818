"""Sizes and durations as people write and read them ("2G", "640 MB", "3 min 20 s"), and the first line of a text."""

from __future__ import annotations

import re

from upres.errors import UsageError

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_MIN_BUDGET = 64 * 1024**2
_DAY_S = 86400.0


def parse_bytes(text: str, name: str = "memory_bytes") -> int:
    """`"2G"`, `"512M"`, `"1.5GiB"` or plain bytes -> bytes (binary units).

    Raises `UsageError`, which says that the parameter `name` is wrong, for anything else and below 64 MB.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None:
        raise UsageError(f"`{name}` must be a size such as 2G or 512M, got {text!r}")
    value = int(float(match[1]) * _UNITS[match[2]])
    if value < _MIN_BUDGET:
        raise UsageError(
            f"`{name}={text}` is {value:,} bytes, too little to work in: give at least 64M (2G means 2 gigabytes)"
        )
    return value


def words_for_bytes(value: float, *, unit: int = 1024) -> str:
    """Three digits at most: `"640 MB"`, `"1.5 GB"`, `"2 KB"`.

    `unit` is 1024 for memory, as `parse_bytes` reads it, and 1000 (`"256 kB"`) for downloads, as web pages and file
    managers count.
    """
    for name, size in (("GB", unit**3), ("MB", unit**2)):
        if value >= size:
            amount = value / size
            return f"{amount:.1f} {name}" if amount < 9.95 else f"{amount:,.0f} {name}"
    return f"{max(round(value / unit), min(1, round(value))):,} {'KB' if unit == 1024 else 'kB'}"


def words_for_seconds(seconds: float) -> str:
    """A measured duration: `"0.4 s"`, `"25 s"`, `"3 min 20 s"`, `"2 h 5 min"`, `"3 days 12 h"`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.1):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return _two(whole, 60, "min", "s")
    if seconds < 2 * _DAY_S:
        minutes = round(seconds / 60)
        return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
    return _two(round(seconds / 3600), 24, "days", "h")


def _two(value: int, base: int, large: str, small: str) -> str:
    return f"{value // base} {large}" + (f" {value % base} {small}" if value % base else "")


def words_for_estimate(seconds: float) -> str:
    """A guessed duration, no finer than it can be known: `"35 s"`, `"2 min"`, `"1 h 20 min"`, `"3 days 12 h"`."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return words_for_seconds(600 * round(seconds / 600)).removesuffix(" 0 min")


def first_line(text: str) -> str:
    """The first line of `text` that is not blank, without the spaces around it; "" where there is none."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
