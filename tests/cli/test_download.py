"""What is said of a download: progress with and without a terminal, and sizes in words."""

# ruff: noqa: F811  # an argument has the name of the fixture that it asks for

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.models.test_store import Table, data, server, store, table  # noqa: F401  # fixtures, which pytest finds by name
from tests.system.server import Server, ranged
from upres.cli import download, progress
from upres.cli.download import have_models


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time of progress lines: every look at it is a minute later."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 60.0
        return now[0]

    monkeypatch.setattr(progress.time, "monotonic", monotonic)
    yield now


def test_progress_is_told_where_there_is_no_terminal(
    server: Server, table: Table, data: bytes, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["/Tiny.pth"] = ranged(data, cut_first=1000)
    table(server.url("/Tiny.pth"))
    have_models(["compact-x4", "./a.pth", "Tiny_x2"])
    err = capsys.readouterr().err
    assert err.startswith("Tiny_x2: MIT") and "Tiny_x2: 1 kB of 4 kB, 23 %, about" in err
    have_models(["Tiny_x2"])
    assert capsys.readouterr().err == ""


def test_a_bar_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with download.shown_progress("Tiny_x2") as told:
        told(1, None)
        told(2, 3)
