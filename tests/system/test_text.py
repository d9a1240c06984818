from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.test_memory import GIB
from upres.errors import UsageError
from upres.system.text import (
    first_line,
    json_text,
    parse_bytes,
    parse_json,
    printable,
    shown,
    words_for_bytes,
    words_for_estimate,
    words_for_seconds,
)


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
    with pytest.raises(UsageError, match="`memory_bytes` must be a size such as 2G"):
        parse_bytes(text)


def test_a_forgotten_unit_is_told() -> None:
    with pytest.raises(UsageError, match=r"`memory_bytes=2` is 2 bytes.*2G means 2 gigabytes"):
        parse_bytes("2")


@pytest.mark.parametrize(
    ("value", "words"), [(1, "1 KB"), (700 * 1024**2, "700 MB"), (1.5 * GIB, "1.5 GB"), (12 * GIB, "12 GB")]
)
def test_sizes_in_words(value: float, words: str) -> None:
    assert words_for_bytes(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 kB"),
        (1, "1 kB"),
        (255_672, "256 kB"),
        (67_040_989, "67 MB"),
        (9_960_000, "10 MB"),
        (4_294_967_296, "4.3 GB"),
    ],
)
def test_sizes_of_downloads_in_words(value: float, words: str) -> None:
    assert words_for_bytes(value, unit=1000) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.1 s"),
        (9.4, "9.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (1234, "21 min"),
        (7512, "2 h 5 min"),
        (302_400, "3 days 12 h"),
        (864_000, "10 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert words_for_seconds(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "5 s"), (125, "2 min"), (3700, "1 h"), (4900, "1 h 20 min"), (302_000, "3 days 12 h")]
)
def test_estimates_are_coarse(seconds: float, words: str) -> None:
    assert words_for_estimate(seconds) == words


@pytest.mark.parametrize(("text", "line"), [("", ""), ("\n  \n a b \nc", "a b"), ("a", "a")])
def test_the_first_line(text: str, line: str) -> None:
    assert first_line(text) == line


def test_what_drives_a_terminal_is_escaped() -> None:
    assert printable("a\x1b[31m\x07\x9b\u202eb\ud800\udcff\tc\nd é 森") == (
        "a\\x1b[31m\\x07\\x9b\\u202eb\\ud800\\xff\tc\nd é 森"
    )
    assert shown(Path("a\tb\nc\r.png")) == "a\\x09b\\x0ac\\x0d.png"


def test_json_of_any_name_is_ascii_safe_where_it_must_be_and_reads_back() -> None:
    name = "é\x1b\x9b\u2028\ud800"
    text = json_text({"name": name})
    assert text == '{"name": "é\\u001b\\u009b\\u2028\\ud800"}'
    assert parse_json(text) == {"name": name}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))


def test_json_that_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
