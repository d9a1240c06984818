"""What `--engine auto` remembers: its keys and figures, damaged files, and two writers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY
from tests.engines.autotune.test_choose import (
    MACHINE,
    MANY_PX,
    NCNN,
    ONNX,
    OPENVINO,
    Stopwatch,
    ask,
    never,
    own_folder,  # noqa: F401  # a fixture, which pytest finds by name
)
from tests.tiny import compact
from upres.engines.autotune import cache
from upres.engines.autotune.cache import choices_file, read_choices
from upres.engines.autotune.race import Candidate, Measured


def test_a_choice_is_remembered_for_its_network_size_threads_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MACHINES", 10)
    assert ask(Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0)) == ONNX
    assert ask(never) == ONNX
    assert ask(never, compact(2, seed=7)) == ONNX  # other weights, the same work
    others: list[dict[str, Any]] = [
        {"graph": compact(3)},
        {"picture_px": 100},
        {"threads": 1},
        {"precision": "fp32"},
        {"device": "cpu"},
        {"machine": replace(MACHINE, cpu="another")},
        {"machine": replace(MACHINE, cores=4)},
        {"machine": replace(MACHINE, engines=("ncnn 1.1", "onnxruntime 1.0", "openvino 1.0"))},
        {"machine": replace(MACHINE, upres="1.1")},
    ]
    for other in others:
        stopwatch = Stopwatch(ncnn=1.0, onnx=2.0, openvino=2.0)
        assert ask(stopwatch, **other) == NCNN, other
        assert len(stopwatch.asked) == 1, other
        assert ask(never, **other) == NCNN
    assert ask(never) == ONNX


def test_all_figures_are_kept_with_their_date() -> None:
    ask(Stopwatch(ncnn=1.0, onnx=0.5, openvino="it crashed"), expected_px=MANY_PX, picture_px=10**4)
    (choice,) = read_choices()
    assert choice.chosen == ONNX
    assert [(result.candidate, result.run_s, result.error) for result in choice.measured] == [
        (NCNN, 1.0, ""),
        (ONNX, 0.5, ""),
        (OPENVINO, None, "it crashed"),
    ]
    assert choice.family == "compact" and choice.question.side == 128 and choice.question.threads == 2
    assert choice.date.startswith("20") and choice.date.endswith("+00:00")
    assert json.loads(choices_file().read_text())["format"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 2}',
        '{"format": 1, "machines": {"a": {}}}',
        '{"format": 1, "machines": []}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_written_anew(
    text: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    choices_file().parent.mkdir(parents=True)
    choices_file().write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_choices() == []
    assert "engines.json is damaged and will be replaced" in caplog.text
    assert ask(Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0)) == ONNX
    assert ask(never) == ONNX
    assert len(read_choices()) == 1


def test_an_engine_that_is_none_of_ours_is_damage(caplog: pytest.LogCaptureFixture) -> None:
    ask(Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0))
    choices_file().write_text(choices_file().read_text().replace('"onnx"', '"evil"'))
    assert ask(Stopwatch(ncnn=1.0, onnx=2.0, openvino=1.0)) == NCNN
    assert "ValueError: engine 'evil'" in caplog.text


def test_a_folder_that_takes_no_files_costs_a_measurement_each_time_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file where the folder should be: no rights help against that, so the test holds for root too."""
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        stopwatch = Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0)
        with caplog.at_level("WARNING"):
            assert ask(stopwatch) == ONNX
        assert len(stopwatch.asked) == 1
    assert caplog.records == []
    assert read_choices() == []


def test_old_choices_and_machines_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_CHOICES", 3)
    monkeypatch.setattr(cache, "_MACHINES", 2)
    stopwatch = Stopwatch(ncnn=1.0, onnx=2.0, openvino=2.0)
    for threads in range(1, 6):
        ask(stopwatch, threads=threads)
    assert [choice.question.threads for choice in read_choices()] == [3, 4, 5]
    for cores in (4, 8):
        ask(stopwatch, machine=replace(MACHINE, cores=cores))
    machines = json.loads(choices_file().read_text())["machines"]
    assert [memory["machine"]["cores"] for memory in machines.values()] == [4, 8]


def test_two_at_once_measure_once() -> None:
    """The lock of the measurement holds between threads as between processes: each opens the file for itself."""
    if sys.platform == "win32":
        pytest.skip("Windows has no flock: there both measure")
    begun, measured, chosen = threading.Event(), [], []

    def slow(
        candidates: Sequence[Candidate], structure: dict[str, Any], *, side: int, threads: int
    ) -> tuple[Measured, ...]:
        measured.append(1)
        begun.set()
        threading.Event().wait(0.2)
        return Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0)(candidates, structure, side=side, threads=threads)

    first = threading.Thread(target=lambda: chosen.append(ask(slow)))
    second = threading.Thread(target=lambda: chosen.append(ask(slow)))
    first.start()
    assert begun.wait(10)
    second.start()
    for thread in (first, second):
        thread.join(20)
    assert (len(measured), chosen) == (1, [ONNX, ONNX])


@pytest.mark.slow
def test_two_processes_that_write_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import tests.engines.autotune.test_choose as t; t.choose.is_busy "
        "= lambda: False\n"
        "for threads in range(int(sys.argv[2]), int(sys.argv[2]) + 5):\n"
        "    t.ask(t.Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0), threads=threads)"
    )
    command = [sys.executable, "-c", program, str(REPOSITORY)]
    running = [subprocess.Popen([*command, str(begin)]) for begin in (10, 20)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sorted(choice.question.threads for choice in read_choices()) == [*range(10, 15), *range(20, 25)]
