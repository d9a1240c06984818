from __future__ import annotations

import pytest

from upres.batch import pace
from upres.batch.pace import Pace


def test_the_start_of_a_run_is_not_its_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    measured = Pace()
    now[0] = 100.0  # a model is loaded, engines are measured, a picture is made
    assert measured.add(0) == 100.0  # taken over
    assert measured.add(10) == 100.0
    now[0] = 102.0
    assert measured.add(20) == pytest.approx(2.0 * 30 / 20)
    now[0] = 103.0
    assert measured.add(0) == pytest.approx(3.0 * 30 / 20)


def test_the_first_result_alone_counts_with_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    measured = Pace()
    now[0] = 9.0
    assert (measured.add(10), measured.add(0)) == (4.0, 4.0)
