"""Sizes and durations as people write and read them ("2G", "640 MB", "3 min 20 s"), and text from strangers."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from typing import Any

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


# What drives a terminal or deceives a reader: control characters, marks that turn the direction of writing (Unicode
# Annex 9) or end a line, and surrogates, which stand for bytes of a name that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSHOWN = re.compile(f"{_UNPRINTABLE.pattern[:-1]}\t\n]")


def printable(text: str) -> str:
    """`text` with escapes such as "\\x1b" in place of what drives a terminal; line breaks and tabs stay."""
    return _UNPRINTABLE.sub(_escape, text)


def shown(name: object) -> str:
    """A name (of a file, a tensor) for a message, on one line: as `printable`, with line breaks and tabs escaped."""
    return _UNSHOWN.sub(_escape, str(name))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: a byte
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def json_text(value: object, indent: int | None = None) -> str:
    """JSON in which names of files stay as they are, but for characters that `printable` escapes; no NaN."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, also for one that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def aligned(rows: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """The lines of a table, two spaces between its columns. Those with a number in `right` are aligned at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
