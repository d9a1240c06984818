from __future__ import annotations

import pytest

from tests.system.test_memory import GIB
from upres.errors import UsageError
from upres.system.text import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2G", 2 * GIB),
        ("512M", 512 * 1024**2),
        ("1.5GiB", GIB * 3 // 2),
        (" 800 MB ", 800 * 1024**2),
        ("1073741824", GIB),
        ("1t", 1024 * GIB),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "G", "-2G", "2X", "nan", "1e9", "2G2"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="`memory_bytes` expects a size such as 2G"):
        parse_bytes(text)


def test_a_forgotten_unit_is_told() -> None:
    with pytest.raises(UsageError, match=r"`memory_bytes=2` is 2 bytes.*2G means 2 gigabytes"):
        parse_bytes("2")


@pytest.mark.parametrize(("value", "words"), [(1, "1 KB"), (700 * 1024**2, "700 MB"), (1.5 * GIB, "1.5 GB"), (12 * GIB, "12 GB")])
def test_sizes_in_words(value: float, words: str) -> None:
    assert format_bytes(value) == words
