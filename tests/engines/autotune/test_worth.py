"""Small jobs begin without a look at the machine, and only those."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import compact
from upres.engines.autotune.worth import WORTH_MACS, choices_file, is_settled
from upres.engines.options import EngineOptions


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path))
    return tmp_path


def test_nothing_measured_and_nothing_worth_measuring() -> None:
    graph = compact(2)
    small_px = int(WORTH_MACS / graph.macs_per_pixel) - 1
    assert is_settled(graph, EngineOptions())
    assert is_settled(graph, EngineOptions(expected_px=small_px, device="cpu"))
    assert not is_settled(graph, EngineOptions(expected_px=small_px + 2))
    assert not is_settled(graph, EngineOptions(device="cuda"))


def test_what_was_measured_is_looked_up() -> None:
    choices_file().write_text("{}")
    assert not is_settled(compact(2), EngineOptions())
