from __future__ import annotations

import io
import sys

import pytest

from upres.batch.job import Outcome
from upres.cli import progress
from upres.cli.progress import JobProgress, UpscaleProgress, counted, failure_line
from upres.errors import InputError


def test_a_log_says_now_and_then_how_far_the_job_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with UpscaleProgress(4_000_000, 4, 60.0) as display:
        for _ in range(3):
            clock[0] += 20.0
            display.advanced(1_000_000)
            display.finished(Outcome("a.png", None, 1_000_000))
        display.dropped(500_000)  # half of the last one will never come
        clock[0] += 20.0
        display.advanced(500_000)
    assert capsys.readouterr().err == "upscaling: 1 of 4 pictures, 2.0 of 4.0 MP, 50 %, about 40 s left\n"


def test_the_time_left_starts_from_the_estimate_and_counts_down(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    job = JobProgress("measuring", 1000, counted("pictures"), estimate_s=60.0)
    clock[0] = 110.0
    assert job.left_s == 50.0
    job.advance(250)  # a quarter in 10 s: 30 s more
    assert job.left_s == 30.0
    clock[0] = 125.0
    assert job.left_s == 15.0
    clock[0] = 150.0
    assert job.left_s == 0.0


def test_no_time_is_told_before_one_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with JobProgress("a.pth", None, counted("bytes")) as job:
        assert job.left_s is None
        clock[0] += 40.0
        job.update(2)
        job.begin("b.pth", 10)
        assert (job.left_s, job.done) == (None, 0.0)  # a new part has a pace of its own
        clock[0] += 40.0
        job.update(2)
        clock[0] += 40.0
        job.update(10)  # the end says nothing: the verb does
    assert capsys.readouterr().err == "a.pth: 2 bytes\nb.pth: 2 of 10 bytes, 20 %, about 3 min left\n"


def test_what_is_not_to_be_shown_shows_only_what_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with JobProgress("training", 100, counted("steps"), shown=False) as job:
        clock[0] += 40.0
        job.update(2)
        job.say("a word")
    assert capsys.readouterr().err == "a word\n"


def test_a_terminal_gets_a_bar_with_pixels_and_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with UpscaleProgress(4_000_000, 2, 60.0) as display:
        display.advanced(1_000_000)
        display.finished(Outcome("a.png", None, 1_000_000))
        display.dropped(1_000_000)
    shown = terminal.getvalue()
    assert "1 of 2 pictures" in shown
    assert "1.0 of 3.0 MP" in shown
    assert "33%" in shown


def test_a_failure_names_its_picture_once() -> None:
    assert failure_line(Outcome("a.png", None, 0, error=InputError("a.png is empty"))) == "a.png is empty"
    assert failure_line(Outcome("a.png", None, 0, error=InputError("too large"))) == "a.png: too large"
    assert "a.png: bug in upres" in failure_line(Outcome("a.png", None, 0, error=TypeError("x")))


def test_a_training_without_a_terminal_tells_speed_losses_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A resumed run of two steps a second: the 600 steps before do not count for the time left."""
    pytest.importorskip("torch")
    from upres.cli import progress
    from upres.training.run import Progress

    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.TrainingProgress(1000, True, lr_pixels=8 * 48 * 48) as shown:
        now[0] += 60.0  # loading
        for step in range(601, 661):
            now[0] += 0.5
            shown.report(Progress(step, 1000, 0.5, 1e-3, 0.05, 0.5, {"pixel": 0.01 * (step % 2), "total": 0.5}))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("step 601 of 1000 (60 %): 2 steps/s, 0.0369 LR MP/s, loss 0.50000 (pixel 0.01)")
    words = "step 641 of 1000 (64 %): 2 steps/s, 0.0369 LR MP/s, loss 0.50000 (pixel 0.005), 10.0 % of the time waiting"
    assert lines[2].startswith(words) and lines[2].endswith("about 3 min left")
    assert len(lines) == 3
