"""`--engine auto`: when it measures, what it makes of the figures, and what it remembers. Figures are made up, but for the last tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import REPOSITORY
from tests.tiny import aligned_graph, compact, gray_graph
from upres import engines
from upres.engines.autotune import cache, choose, fingerprint
from upres.engines.autotune.cache import choices_file, read_choices
from upres.engines.autotune.fingerprint import Fingerprint, this_machine
from upres.engines.autotune.race import Candidate, Measured, race
from upres.engines.autotune.worker import serve
from upres.engines.ncnn.devices import VulkanDevice
from upres.errors import EngineError, UsageError
from upres.graph.graph import Graph
from upres.graph.serialize import digest, structure, with_random_weights
from upres.models import catalog

NCNN, ONNX, OPENVINO = (Candidate(engine, "cpu", "fp32") for engine in ("ncnn", "onnx", "openvino"))
MACHINE = Fingerprint(
    cpu="a CPU",
    cores=2,
    memory_gib=8,
    gpus=(),
    drivers=(),
    system="Linux 6 x86_64",
    installed=("ncnn", "onnx", "openvino"),
    engines=("ncnn 1.0", "onnxruntime 1.0", "openvino 1.0"),
    upres="1.0",
)
MANY_PX = 10**12  # worth any measurement


class Stopwatch:
    """Stands in for `race`: gives the seconds of its table, and keeps what it was asked. A text in the table is how the engine crashed."""

    def __init__(self, **seconds: float | str) -> None:
        self.seconds = seconds
        self.asked: list[list[Candidate]] = []
        self.sides: list[int] = []

    def __call__(self, candidates: Sequence[Candidate], structure: dict[str, Any], *, side: int, threads: int) -> tuple[Measured, ...]:
        self.asked.append(list(candidates))
        self.sides.append(side)
        return tuple(self._measured(candidate) for candidate in candidates)

    def _measured(self, candidate: Candidate) -> Measured:
        figure = self.seconds[candidate.engine]
        if isinstance(figure, str):
            return Measured(candidate, error=figure, broken=True)
        return Measured(candidate, run_s=figure, load_s=1.0, peak_bytes=10**8)


def never(*_: object, **__: object) -> tuple[Measured, ...]:
    raise AssertionError("measured")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choose, "is_busy", lambda: False)


def ask(measure: Callable[..., tuple[Measured, ...]], graph: Graph | None = None, **options: Any) -> Candidate:
    return choose.choose(graph or compact(2), measure=measure, **{"machine": MACHINE, "threads": 2, "expected_px": MANY_PX, **options})


# Who never pays for a measurement


def test_the_core_install_without_a_gpu_is_never_measured() -> None:
    alone = replace(MACHINE, installed=("ncnn",), engines=("ncnn 1.0",))
    assert ask(never, machine=alone) == NCNN
    assert ask(never, machine=replace(alone, installed=("ncnn", "torch"))) == NCNN  # torch is no candidate on the CPU
    assert not choices_file().exists()


def test_exact_tiles_are_ncnns() -> None:
    ask(Stopwatch(ncnn=1.0, onnx=1.0, openvino=0.1))
    assert ask(never, exact=True) == NCNN


def test_a_small_job_is_not_worth_it_but_takes_what_is_known() -> None:
    graph = compact(2)
    small_px = int(choose.WORTH_MACS / graph.macs_per_pixel) - 1
    assert ask(never, expected_px=small_px) == NCNN
    assert ask(never, expected_px=None) == NCNN
    assert not choices_file().exists()
    assert ask(Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0), expected_px=small_px + 2, picture_px=64 * 64) == ONNX
    assert ask(never, expected_px=4096) == ONNX  # the same size of picture
    assert ask(never, expected_px=small_px, picture_px=4000) == ONNX
    assert ask(never, expected_px=small_px, picture_px=4097) == NCNN
    assert ask(Stopwatch(ncnn=1.0, onnx=2.0, openvino=0.5)) == OPENVINO
    assert ask(never, expected_px=None) == OPENVINO  # where no size is known, that of the largest pictures


def test_nothing_is_measured_while_others_use_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "is_busy", lambda: True)
    assert ask(never) == NCNN
    assert read_choices() == []


def test_a_python_program_is_never_made_to_wait_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "race", never)
    assert engines.load(compact(2), threads=1).name.startswith("ncnn ")


# What is made of the figures


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"ncnn": 1.0, "onnx": 2.0, "openvino": 3.0}, NCNN),
        ({"ncnn": 1.0, "onnx": 0.86, "openvino": 3.0}, NCNN),  # that much may be luck
        ({"ncnn": 1.0, "onnx": 0.85, "openvino": 3.0}, ONNX),
        ({"ncnn": 1.0, "onnx": 0.5, "openvino": 0.49}, OPENVINO),  # between the others the faster one
        ({"ncnn": 1.0, "onnx": "it crashed", "openvino": 0.9}, NCNN),
        ({"ncnn": 1.0, "onnx": "it crashed", "openvino": 0.5}, OPENVINO),
    ],
)
def test_another_engine_must_be_clearly_faster(seconds: dict[str, float | str], chosen: Candidate) -> None:
    stopwatch = Stopwatch(**seconds)
    assert ask(stopwatch) == chosen
    assert stopwatch.asked == [[NCNN, ONNX, OPENVINO]]


def test_the_user_is_told_in_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="upres.engines.autotune.choose"):
        ask(Stopwatch(ncnn=0.414, onnx=0.55, openvino="it was ended by signal 11"))
    assert [record.getMessage() for record in caplog.records] == [
        "measuring engines once for this machine and this kind of model ...",
        "ncnn 0.41 s, onnx 0.55 s, openvino failed (it was ended by signal 11) -> ncnn",
    ]


@pytest.mark.parametrize(
    ("macs", "picture_px", "side"),
    [(1e3, 1, 64), (1e3, 64 * 64, 64), (1e3, 64 * 64 + 1, 128), (1e3, 10**9, 512), (1e6, 10**9, 64), (2e7, 10**9, 64)],
)
def test_what_is_measured_is_of_the_size_of_the_pictures_and_takes_no_seconds(macs: float, picture_px: int, side: int) -> None:
    assert choose.probe_side(macs, picture_px) == side
    assert side == choose.SIDES[0] or macs * side**2 <= choose.PROBE_MACS


# What is remembered


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


def test_who_crashed_is_not_tried_again_until_the_machine_changes() -> None:
    ask(Stopwatch(ncnn=1.0, onnx="it was ended by signal 11", openvino=1.0))
    stopwatch = Stopwatch(ncnn=1.0, onnx=0.1, openvino=1.0)
    assert ask(stopwatch, compact(3)) == NCNN
    assert stopwatch.asked == [[NCNN, OPENVINO]]
    newer = replace(MACHINE, engines=("ncnn 1.0", "onnxruntime 1.1", "openvino 1.0"))
    assert ask(stopwatch, compact(3), machine=newer) == ONNX


def test_where_not_even_ncnn_answers_nothing_is_concluded() -> None:
    stopwatch = Stopwatch(ncnn="it did not answer within 15 s", onnx=1.0, openvino="it did not answer within 15 s")
    assert ask(stopwatch) == NCNN
    assert read_choices() == []


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 2}', '{"format": 1, "machines": {"a": {}}}', '{"format": 1, "machines": []}', b"\xff\xfe"],
)
def test_a_damaged_file_counts_as_empty_and_is_written_anew(text: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    choices_file().parent.mkdir(parents=True)
    choices_file().write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_choices() == []
    assert "engines.json is damaged and will be written anew" in caplog.text
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

    def slow(candidates: Sequence[Candidate], structure: dict[str, Any], *, side: int, threads: int) -> tuple[Measured, ...]:
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


def test_two_processes_that_write_lose_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import tests.engines.autotune.test_choose as t; t.choose.is_busy = lambda: False\n"
        "for threads in range(int(sys.argv[2]), int(sys.argv[2]) + 5):\n"
        "    t.ask(t.Stopwatch(ncnn=1.0, onnx=0.5, openvino=1.0), threads=threads)"
    )
    command = [sys.executable, "-c", program, str(REPOSITORY)]
    running = [subprocess.Popen([*command, str(begin)]) for begin in (10, 20)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert sorted(choice.question.threads for choice in read_choices()) == [*range(10, 15), *range(20, 25)]


# GPUs, and devices by name


def device(index: int, kind: Any, *, fp16: bool = True) -> VulkanDevice:
    return VulkanDevice(index=index, name="a card", kind=kind, default=index == 0, fp16=fp16, bf16=False, budget_bytes=None)


def test_what_a_gpu_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[int] = []

    def devices() -> tuple[tuple[VulkanDevice, ...], str]:
        listed.append(1)
        return (device(0, "discrete"), device(1, "integrated", fp16=False), device(2, "cpu")), ""

    monkeypatch.setattr(choose, "vulkan_devices", devices)
    nvidia = replace(
        MACHINE,
        gpus=("nvidia driver 570.86",),
        drivers=("nvidia_icd.json 1",),
        installed=("ncnn", "torch", "onnx"),
        engines=("ncnn 1.0", "torch 2.9.0", "onnxruntime-gpu 1.0"),
    )
    stopwatch = Stopwatch(ncnn=1.0, torch=0.1, onnx=0.5)
    assert ask(stopwatch, machine=nvidia) == Candidate("torch", "cuda", "fp16")
    assert [str(candidate) for candidate in stopwatch.asked[0]] == [
        "ncnn",
        "onnx",
        "ncnn on vulkan:0 fp16",
        "ncnn on vulkan:1",
        "torch on cuda fp16",
        "onnx on cuda fp16",
    ]
    assert ask(never, machine=nvidia) == Candidate("torch", "cuda", "fp16")
    assert len(listed) == 1  # a driver is loaded only where something is measured
    assert ask(stopwatch, machine=replace(nvidia, engines=("ncnn 1.0", "torch 2.9.0+cpu", "onnxruntime 1.0"))).engine == "onnx"
    assert {candidate.engine for candidate in stopwatch.asked[1]} == {"ncnn", "onnx"}
    apple = replace(MACHINE, gpus=("apple",), system="Darwin 25 arm64", installed=("ncnn", "torch"), engines=("ncnn 1.0", "torch 2.9.0"))
    assert ask(stopwatch, machine=apple) == Candidate("torch", "mps", "fp16")
    intel = replace(MACHINE, gpus=("intel 0x56a0",))
    assert ask(Stopwatch(ncnn=1.0, onnx=1.0, openvino=0.5), machine=intel).engine == "openvino"


def test_a_device_narrows_the_choice() -> None:
    gpu = replace(MACHINE, gpus=("nvidia",), installed=("ncnn", "torch", "onnx"))
    stopwatch = Stopwatch(ncnn=1.0, torch=1.0, onnx=0.5)
    assert ask(stopwatch, machine=gpu, device="cuda:1") == Candidate("onnx", "cuda:1", "fp16")
    assert stopwatch.asked == [[Candidate("torch", "cuda:1", "fp16"), Candidate("onnx", "cuda:1", "fp16")]]
    assert ask(never, machine=gpu, device="vulkan") == Candidate("ncnn", "vulkan", "fp16")
    assert ask(stopwatch, machine=gpu, device="cpu") == Candidate("onnx", "cpu", "fp32")
    with pytest.raises(EngineError, match=r"device 'npu' needs engine openvino, which is not installed; .* 'upres\[openvino\]'"):
        ask(never, machine=gpu, device="npu")


def test_of_two_engines_for_a_named_gpu_the_one_that_crashed_is_not_taken_again() -> None:
    gpu = replace(MACHINE, gpus=("nvidia",), installed=("ncnn", "torch", "onnx"))
    stopwatch = Stopwatch(torch="it was ended by signal 11", onnx=0.5)
    for scale in (2, 3):
        assert ask(stopwatch, compact(scale), machine=gpu, device="cuda") == Candidate("onnx", "cuda", "fp16")
    assert len(stopwatch.asked) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "ncnn", "device": "cuda"}, "engine 'ncnn' has no device 'cuda': it runs on cpu, vulkan; .* --engine torch or onnx"),
        ({"engine": "torch", "device": "vulkan:1"}, "engine 'torch' has no device 'vulkan:1'.* --engine ncnn"),
        ({"engine": "onnx", "device": "npu"}, "--device npu goes with --engine openvino"),
        ({"device": "quantum"}, "unknown device 'quantum'; choose auto or one of cpu, vulkan"),
        ({"device": "cpu:1"}, "unknown device 'cpu:1': a number .* goes with cuda:N"),
        ({"device": "cuda:x"}, "unknown device 'cuda:x'"),
        ({"device": "cuda:"}, "unknown device 'cuda:'"),
        ({"precision": "int8"}, "unknown precision 'int8'; choose one of auto, fp32, fp16, bf16"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engines.load(compact(2), **options)


def test_an_engine_that_was_chosen_and_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "choose", lambda *_, **__: Candidate("openvino", "npu", "fp16"))

    def opened(graph: Graph, *, engine: str, device: str, **options: Any) -> object:
        if engine == "openvino":
            raise EngineError("the NPU is asleep")
        return open_checked(graph, engine=engine, device=device, **options)

    open_checked = engines.open_checked
    monkeypatch.setattr(engines, "open_checked", opened)
    runner = engines.load(compact(2), threads=1)
    assert runner.notes == (
        "openvino on npu fp16 is the fastest engine here and could not be used, so ncnn on the CPU was: the NPU is asleep",
    )
    assert runner.name.startswith("ncnn ") and runner.device == "cpu"
    with pytest.raises(EngineError, match="the NPU is asleep"):
        engines.load(compact(2), device="npu")  # who names a device gets that one or none


# The processes


def test_a_network_without_its_weights_is_as_much_work() -> None:
    for graph in (compact(2), aligned_graph(), gray_graph(), catalog.load_graph("compact-x4")):
        described = json.loads(json.dumps(structure(graph)))
        made = with_random_weights(described)
        for ours, theirs in ((graph, made), (graph.simplify(), made.simplify())):
            assert ours.macs_per_pixel == theirs.macs_per_pixel
            assert ours.activation_bytes_per_pixel == theirs.activation_bytes_per_pixel
            assert ours.receptive_field == theirs.receptive_field
        assert (made.scale, made.in_channels, made.alignment) == (graph.scale, graph.in_channels, graph.alignment)
        assert structure(made) == described
        assert len(json.dumps(described)) < 400 * len(graph.nodes) + 400  # no weight is in it


def test_the_digest_is_of_the_structure_alone() -> None:
    assert digest(structure(compact(2, seed=1))) == digest(structure(compact(2, seed=2)))
    assert len({digest(structure(graph)) for graph in (compact(2), compact(3), compact(2, width=5), compact(2, depth=3))}) == 4


@pytest.mark.parametrize("graph", [compact(4, width=32, depth=12), aligned_graph(), gray_graph()])
def test_made_up_weights_keep_values_in_the_range_of_numbers(graph: Graph) -> None:
    runner = engines.load(with_random_weights(structure(graph)), engine="ncnn", threads=1)
    sr = runner(np.full((1, graph.in_channels, 16, 16), 0.5, np.float32))
    assert 1e-6 < np.abs(sr).max() < 1e3


def test_engines_are_measured_in_processes_of_their_own() -> None:
    """The real thing, with the engines that are installed here."""
    machine = this_machine()
    candidates = [candidate for candidate in (NCNN, ONNX, OPENVINO) if candidate.engine in machine.installed]
    missing = Candidate("ncnn", "vulkan:7", "fp32")
    results = race([*candidates, missing], structure(compact(2)), side=32, threads=1)
    assert [result.candidate for result in results] == [*candidates, missing]
    for result in results[:-1]:
        assert (result.error, result.broken) == ("", False)
        assert result.run_s is not None and result.load_s is not None and 0.0 < result.run_s < result.load_s
        assert sys.platform == "win32" or (result.peak_bytes is not None and result.peak_bytes > 10**7)
    assert results[-1].run_s is None and not results[-1].broken and missing.device in results[-1].error


def answers(program: str, **options: Any) -> Measured:
    """Of a race with one child, which is this program."""
    (result,) = race([NCNN], structure(compact(2)), side=32, threads=1, program=[sys.executable, "-c", program], **options)
    return result


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by signal 11"),
        ("import sys; sys.exit('driver too old')", "it ended with code 1 (driver too old)"),
        ("print('what a driver says')", "it ended with code 0"),
        ("import os, signal; input(); print('{\"load_s\": 1}', flush=True); input(); os.abort()", "it was ended by signal 6"),
    ],
)
def test_a_process_that_dies_is_told_by_how(program: str, words: str) -> None:
    result = answers(program)
    assert (result.error, result.broken, result.run_s) == (words, True, None)


@pytest.mark.parametrize("begin", ["", "input(); print('{\"load_s\": 1}', flush=True); "])
def test_a_process_that_hangs_is_ended(begin: str) -> None:
    result = answers(f"import time; {begin}time.sleep(60)", answer_s=1.0)
    assert (result.error, result.broken, result.run_s) == ("it did not answer within 1 s", True, None)


def test_who_comes_too_late_is_left_out_but_not_called_broken() -> None:
    result = answers("", budget_s=0.0)
    assert (result.error, result.broken) == ("there was no time left to try it", False)


def test_the_fastest_run_counts() -> None:
    program = "import sys\nfor line, said in zip(sys.stdin, ['load_s', 'run_s', 'run_s', 'run_s']):\n"
    program += "    n = globals().get('n', 0) + 1; print('{\"%s\": %s}' % (said, [9, 3, 1, 2][n - 1]), flush=True)\n"
    program += "print('{\"peak_bytes\": 5}')"
    result = answers(program)
    assert (result.load_s, result.run_s, result.peak_bytes, result.error) == (9, 1, 5, "")


def test_a_refusal_is_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    import io

    request = {"structure": structure(compact(2)), "engine": "ncnn", "device": "cpu", "precision": "fp32", "threads": 1, "side": 16}
    said = io.StringIO()
    serve(io.StringIO(json.dumps({**request, "device": "cuda"}) + "\n"), said)
    assert "has no device 'cuda'" in json.loads(said.getvalue())["error"]
    said = io.StringIO()
    serve(io.StringIO(json.dumps(request) + "\nrun\nrun\n"), said)
    assert [next(iter(json.loads(line))) for line in said.getvalue().splitlines()] == ["load_s", "run_s", "run_s", "peak_bytes"]


def test_this_machine_is_told_without_loading_an_engine() -> None:
    program = (
        "import sys; from upres.engines.autotune.fingerprint import this_machine; machine = this_machine(); print(machine.as_json())\n"
        "assert machine.cpu and machine.cores and 'ncnn' in machine.installed and any(e.startswith('ncnn ') for e in machine.engines)\n"
        "assert not {'ncnn', 'torch', 'onnxruntime', 'openvino', 'httpx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the time of each core")
def test_a_machine_is_busy_while_its_cores_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core, *others = sorted(os.sched_getaffinity(0))

    def stat(idle: int, busy: int) -> str:
        lines = [f"cpu{number} {busy} 0 0 {idle} 0 0 0 0 0 0" for number in (core, *others)]
        return "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, f"cpu{max(core, *others) + 1} 99999 0 0 0 0 0 0 0 0 0", "intr 5"])

    def after(idle: int, busy: int) -> bool:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / "stat").write_text(stat(1000, 1000))
        monkeypatch.setattr(fingerprint.time, "sleep", lambda _: (tmp_path / "proc" / "stat").write_text(stat(1000 + idle, 1000 + busy)))
        return fingerprint.is_busy(root=tmp_path)

    assert after(idle=2, busy=23)
    assert not after(idle=20, busy=5)
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    assert fingerprint.is_busy(root=tmp_path / "elsewhere")  # where no core can be asked, the load of the last minute
