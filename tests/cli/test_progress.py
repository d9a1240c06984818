from __future__ import annotations

import io
import sys

import pytest

from upres.batch.run import Outcome
from upres.cli import progress
from upres.cli.progress import failure_line, make_display
from upres.errors import InputError


def test_a_log_says_now_and_then_how_far_the_job_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with make_display(4_000_000, 4, 60.0) as display:
        for _ in range(3):
            clock[0] += 20.0
            display.advanced(1_000_000)
            display.finished(Outcome("a.png", None, 1_000_000))
        display.dropped(500_000)  # half of the last one will never come
        clock[0] += 20.0
        display.advanced(500_000)
    assert capsys.readouterr().err == "1 of 4 pictures, 50 % of 4.0 MP, about 40 s left\n"


def test_the_time_left_starts_from_the_estimate_and_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    pace = progress._Pace(1000, 60.0)
    clock[0] = 110.0
    assert pace.left_s == 50.0
    pace.advance(250)  # a quarter in 10 s: 30 s more
    assert pace.left_s == 30.0
    clock[0] = 125.0
    assert pace.left_s == 15.0
    clock[0] = 150.0
    assert pace.left_s == 0.0


def test_a_terminal_gets_a_bar_with_pixels_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with make_display(4_000_000, 2, 60.0) as display:
        display.advanced(1_000_000)
        display.finished(Outcome("a.png", None, 1_000_000))
        display.dropped(1_000_000)
    shown = terminal.getvalue()
    assert "1/2 pictures" in shown
    assert "1.0/3.0 MP" in shown
    assert "33%" in shown


def test_a_failure_names_its_picture_once() -> None:
    assert failure_line(Outcome("a.png", None, 0, error=InputError("a.png is empty"))) == "a.png is empty"
    assert failure_line(Outcome("a.png", None, 0, error=InputError("too large"))) == "a.png: too large"
    assert "a.png: a bug of upres" in failure_line(Outcome("a.png", None, 0, error=TypeError("x")))
