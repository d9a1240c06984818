"""docs/traps.md and docs/pains.md name tests that exist, and the first every trap."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests import REPOSITORY

_NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


@cache
def names_of(file: str) -> frozenset[str]:
    path = REPOSITORY / "tests" / file
    return (
        frozenset(re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
        if path.is_file()
        else frozenset()
    )


def rows(text: str) -> list[str]:
    """The rows of the tables, without their heads."""
    return [
        line
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---") and "| held by |" not in line
    ]


@pytest.mark.parametrize(("page", "least"), [("traps.md", 60), ("pains.md", 40)])
def test_every_row_names_tests_and_each_of_them_exists(page: str, least: int) -> None:
    lines = rows((REPOSITORY / "docs" / page).read_text(encoding="utf-8"))
    assert [line for line in lines if not _NAMED.search(line.split("|")[-2])] == []
    named = [match.groups() for line in lines for match in _NAMED.finditer(line)]
    assert len(named) > least
    assert [f"{file}::{test}" for file, test in named if test not in names_of(file)] == []
    assert "test_luma_equals_scikit_image" in names_of("images/test_color.py") and not names_of("test_nowhere.py")


def test_no_trap_is_left_out() -> None:
    text = (REPOSITORY / "docs" / "traps.md").read_text(encoding="utf-8")
    numbers = {int(match[1]) for line in rows(text) if (match := re.match(r"\| (\d+) \|", line))}
    assert numbers == set(range(1, 45))
