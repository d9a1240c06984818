"""What `upres bench` measures and keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import compact
from upres.engines.autotune import bench as module
from upres.engines.autotune import cache, worth
from upres.engines.autotune.bench import bench
from upres.engines.autotune.choose import choose
from upres.engines.autotune.fingerprint import Fingerprint
from upres.engines.autotune.race import Candidate, Measured
from upres.engines.options import EngineOptions
from upres.errors import UsageError

MACHINE = Fingerprint("a processor", 2, 8, (), (), "Linux", ("ncnn", "onnx", "torch"), ("ncnn 1",), "0.1")
GRAPH = compact(4, width=8)
SECONDS = {"ncnn": 0.5, "onnx": 0.25, "torch": 2.0}


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "choices_file", lambda: tmp_path / "engines.json")
    monkeypatch.setattr(worth, "choices_file", lambda: tmp_path / "engines.json")
    monkeypatch.setattr(module, "is_busy", lambda: False)


def measured(candidates: Any, structure: Any, *, side: int, threads: int, budget_s: float) -> tuple[Measured, ...]:
    assert threads == 2
    assert 0 < budget_s <= 45
    return tuple(Measured(one, SECONDS[one.engine], 1.0, 1 << 20) for one in candidates)


def test_the_fastest_is_named_and_kept_for_auto() -> None:
    told: list[str] = []
    result = bench([("a", GRAPH)], EngineOptions(threads=2), measure=measured, machine=MACHINE, tell=told.append)
    (row,) = result.rows
    assert told == ["a"]
    assert [found.candidate.engine for found in row.measured] == ["ncnn", "onnx"]  # torch on a CPU is a reference
    assert row.fastest == Candidate("onnx", "cpu", "fp32")
    assert row.kept
    assert row.megapixels_per_second(row.measured[1]) == pytest.approx((4 * row.side) ** 2 / 1e6 / 0.25)
    options = EngineOptions(threads=2, expected_px=10**9, picture_px=4_000_000)

    def never(*_: Any, **__: Any) -> tuple[Measured, ...]:
        raise AssertionError("it is known")

    assert choose(GRAPH, options, measure=never, machine=MACHINE) == row.fastest


@pytest.mark.parametrize("case", ["busy", "disturbed", "one engine"])
def test_what_was_not_measured_in_peace_or_whole_is_not_kept(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    real = subprocess.Popen

    def counted(*arguments: Any, **options: Any) -> Any:
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", counted)
    monkeypatch.setattr(module, "is_busy", lambda: case == "disturbed")
    options = EngineOptions("onnx" if case == "one engine" else "auto", threads=2)
    result = bench([("a", GRAPH)], options, busy=2 * (case == "busy"), measure=measured, machine=MACHINE)
    assert not result.rows[0].kept
    assert result.disturbed == (case == "disturbed")
    assert cache.read_choices() == []
    assert len(started) == result.busy == (2 if case == "busy" else 0)
    assert all(process.poll() is not None for process in started)


def test_torch_on_the_cpu_runs_when_it_is_named() -> None:
    result = bench([("a", GRAPH)], EngineOptions("torch", threads=2), measure=measured, machine=MACHINE)
    assert [str(found.candidate) for found in result.rows[0].measured] == ["torch"]


def test_engines_that_fail_are_rows_and_no_choice() -> None:
    def broken(candidates: Any, structure: Any, **_: Any) -> tuple[Measured, ...]:
        return tuple(Measured(one, error="it crashed", broken=True) for one in candidates)

    (row,) = bench([("a", GRAPH)], EngineOptions(threads=2), measure=broken, machine=MACHINE).rows
    assert row.fastest is None
    assert not row.kept
    assert row.megapixels_per_second(row.measured[0]) is None


def test_what_no_time_is_left_for_is_named() -> None:
    result = bench([("a", GRAPH), ("b", GRAPH)], EngineOptions(), limit_s=0.0, measure=measured, machine=MACHINE)
    assert result.rows == ()
    assert result.left_out == ("a", "b")


def test_a_negative_number_of_processes_is_refused() -> None:
    with pytest.raises(UsageError, match="`busy` must be at least 0, got -1"):
        bench([], EngineOptions(), busy=-1, machine=MACHINE)
