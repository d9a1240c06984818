"""Estimates follow what jobs took."""

from __future__ import annotations

import pytest

from upres.serve.speeds import Speeds

FACTS = {"macs": 1e9, "pixels": 10**6, "size": {"width": 2000, "height": 2000}, "model": {"name": "m"}}
TIMES = {"look": 0.5, "open": 9.0, "read": 0.1, "run": 2.0, "write": 0.4}


def test_a_second_job_is_estimated_by_the_first() -> None:
    speeds = Speeds({})
    speeds.learn(FACTS, TIMES, "png", chosen=True)
    assert speeds.estimate(FACTS, "png", chosen=True) == pytest.approx(3.0)
    assert speeds.estimate(FACTS, "png", chosen=True, opened=False) == pytest.approx(12.0)
    double = FACTS | {"macs": 2e9}
    assert speeds.estimate(double, "png", chosen=False) == pytest.approx(4.5)
    assert speeds.changed == {"macs/m", "open/m", "read", "write/png", "look", "job"}
    again = Speeds(speeds.items(speeds.changed))
    assert again.estimate(FACTS, "png", chosen=True) == pytest.approx(3.0)


def test_new_figures_weigh_less_than_all_before() -> None:
    speeds = Speeds({"macs/m": 1.0})
    speeds.note("macs/m", 2.0)
    assert 1.0 < speeds["macs/m"] < 1.5


def test_tiny_jobs_teach_nothing_of_speed() -> None:
    speeds = Speeds({})
    speeds.learn(FACTS | {"pixels": 9, "size": {"width": 1, "height": 1}}, TIMES | {"run": 0.001}, "png", chosen=False)
    assert speeds.changed == {"job", "open/m"} and "macs/m" not in speeds


def test_a_job_beside_another_teaches_only_what_is_not_known() -> None:
    speeds = Speeds({})
    speeds.learn(FACTS, TIMES, "png", chosen=False, alone=False)
    assert speeds["macs/m"] == 0.5e9
    speeds.learn(FACTS, TIMES | {"run": 8.0}, "png", chosen=False, alone=False)
    assert speeds["macs/m"] == 0.5e9
    speeds.learn(FACTS, TIMES | {"run": 8.0}, "png", chosen=False)
    assert speeds["macs/m"] < 0.5e9
