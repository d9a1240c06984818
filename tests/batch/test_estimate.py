"""The time that jobs will take: measured only as far as it pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.test_run import made_jobs, upscaler_of
from tests.tiny import FakeRunner
from upres.batch import estimate
from upres.batch.estimate import estimate_seconds


def test_the_estimate_counts_the_networks_and_the_last_encoding(tmp_path: Path) -> None:
    upscaler = upscaler_of()
    upscaler._speeds.macs_per_second = lambda *_: 1e6
    jobs = made_jobs(tmp_path, 2, upscaler)
    networks = sum(job.plan.macs for job in jobs) / 1e6
    assert estimate_seconds(jobs) == pytest.approx(networks + jobs[1].plan.pixels * 0.1e-6)
    assert estimate_seconds([]) == 0.0


def test_a_small_job_is_not_measured_for(tmp_path: Path) -> None:
    runner = FakeRunner()
    jobs = made_jobs(tmp_path, 2, upscaler_of(runner))
    assert 0.0 < estimate_seconds(jobs, measure_from_s=30.0) < 1.0
    assert runner.calls == []
    estimate_seconds(jobs)
    assert len(runner.calls) == 3


def test_a_job_that_ends_soon_at_a_first_glance_is_measured_by_one_small_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FakeRunner()
    jobs = made_jobs(tmp_path, 2, upscaler_of(runner))
    monkeypatch.setattr(estimate, "_SLOW_MACS_PER_SECOND", 1.0)
    assert 0.0 < estimate_seconds(jobs, measure_from_s=30.0) < 30.0
    assert len(runner.calls) == 1
