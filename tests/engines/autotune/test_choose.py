"""`--engine auto`: when it measures, and which engine it picks from the figures, which are made up here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import compact
from upres import engines
from upres.engines.autotune import choose
from upres.engines.autotune.cache import choices_file, read_choices
from upres.engines.autotune.fingerprint import Fingerprint
from upres.engines.autotune.race import Candidate, Measured
from upres.engines.ncnn.devices import VulkanDevice
from upres.engines.options import EngineOptions
from upres.engines.runner import Runner
from upres.errors import EngineError, UsageError
from upres.graph.graph import Graph

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
    """Stands in for `race`: gives the seconds of its table, and keeps what it was asked. A text in the table is how the
    engine crashed.
    """

    def __init__(self, **seconds: float | str) -> None:
        self.seconds = seconds
        self.asked: list[list[Candidate]] = []
        self.sides: list[int] = []

    def __call__(
        self, candidates: Sequence[Candidate], structure: dict[str, Any], *, side: int, threads: int
    ) -> tuple[Measured, ...]:
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
    machine = options.pop("machine", MACHINE)
    asked = EngineOptions(**{"threads": 2, "expected_px": MANY_PX, **options})
    return choose.choose(graph or compact(2), asked, measure=measure, machine=machine)


# Who never pays for a measurement


def test_the_core_install_without_a_gpu_is_never_measured() -> None:
    alone = replace(MACHINE, installed=("ncnn",), engines=("ncnn 1.0",))
    assert ask(never, machine=alone) == NCNN
    assert ask(never, machine=replace(alone, installed=("ncnn", "torch"))) == NCNN  # torch is no candidate on the CPU
    assert not choices_file().exists()


def test_exact_tiles_are_ncnns() -> None:
    ask(Stopwatch(ncnn=1.0, onnx=1.0, openvino=0.1))
    assert ask(never, exact=True) == NCNN


def test_a_small_job_is_not_worth_it_but_takes_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "likely", lambda graph, options: "ncnn")
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
    for engine, expected in (("ncnn", NCNN), ("onnx", ONNX)):  # what is likely the fastest runs
        monkeypatch.setattr(choose, "likely", lambda graph, options, engine=engine: engine)
        assert ask(never) == expected
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
        "measuring which engine is fastest, once for this machine and kind of model ...",
        "ncnn 0.41 s, onnx 0.55 s, openvino failed (it was ended by signal 11) -> ncnn",
    ]


@pytest.mark.parametrize(
    ("macs", "picture_px", "side"),
    [(1e3, 1, 64), (1e3, 64 * 64, 64), (1e3, 64 * 64 + 1, 128), (1e3, 10**9, 512), (1e6, 10**9, 64), (2e7, 10**9, 64)],
)
def test_what_is_measured_is_of_the_size_of_the_pictures_and_takes_no_seconds(
    macs: float, picture_px: int, side: int
) -> None:
    assert choose.probe_side(macs, picture_px) == side
    assert side == choose.SIDES[0] or macs * side**2 <= choose.PROBE_MACS


# What is remembered


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


# GPUs, and devices by name


def device(index: int, kind: Any, *, fp16: bool = True) -> VulkanDevice:
    return VulkanDevice(
        index=index, name="a card", kind=kind, default=index == 0, fp16=fp16, bf16=False, budget_bytes=None
    )


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
    assert (
        ask(stopwatch, machine=replace(nvidia, engines=("ncnn 1.0", "torch 2.9.0+cpu", "onnxruntime 1.0"))).engine
        == "onnx"
    )
    assert {candidate.engine for candidate in stopwatch.asked[1]} == {"ncnn", "onnx"}
    apple = replace(
        MACHINE,
        gpus=("apple",),
        system="Darwin 25 arm64",
        installed=("ncnn", "torch"),
        engines=("ncnn 1.0", "torch 2.9.0"),
    )
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
    with pytest.raises(
        EngineError, match=r"device 'npu' needs engine openvino, which is not installed; .* 'upres\[openvino\]'"
    ):
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
        (
            {"engine": "ncnn", "device": "cuda"},
            "engine 'ncnn' has no device 'cuda': it runs on cpu, .*needs `engine` torch or onnx",
        ),
        ({"engine": "torch", "device": "vulkan:1"}, "engine 'torch' has no device 'vulkan:1'.*needs `engine` ncnn"),
        ({"engine": "onnx", "device": "npu"}, "`device='npu'` needs `engine` openvino"),
        ({"device": "quantum"}, "`device` must be auto or one of cpu, vulkan, .*; got 'quantum'"),
        ({"device": "cpu:1"}, "`device='cpu:1'`: only cuda:N, .* take a number"),
        ({"device": "cuda:x"}, "`device='cuda:x'`"),
        ({"device": "cuda:"}, "`device='cuda:'`"),
        ({"precision": "int8"}, "`precision` must be one of auto, fp32, fp16, bf16; got 'int8'"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_does(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        engines.load(compact(2), **options)


def test_an_engine_that_was_chosen_and_cannot_be_opened_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "choose", lambda *_, **__: Candidate("openvino", "npu", "fp16"))
    monkeypatch.setattr(engines, "is_settled", lambda *_: False)

    def opened(graph: Graph, options: EngineOptions) -> object:
        if options.engine == "openvino":
            raise EngineError("the NPU is asleep")
        return open_checked(graph, options)

    open_checked = engines.open_checked
    monkeypatch.setattr(engines, "open_checked", opened)
    runner = engines.load(compact(2), threads=1)
    assert runner.notes == (
        "openvino on npu fp16 is the fastest engine here but failed, so ncnn ran on the CPU: the NPU is asleep",
    )
    assert runner.name.startswith("ncnn ") and runner.device == "cpu"
    with pytest.raises(EngineError, match="the NPU is asleep"):
        engines.load(compact(2), device="npu")  # who names a device gets that one or none


def test_an_engine_that_was_likely_and_cannot_be_opened_is_replaced_by_ncnn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "is_settled", lambda graph, options: True)
    monkeypatch.setattr(engines, "likely", lambda graph, options: "onnx")
    assert engines.load(compact(2), threads=1).name.startswith("onnxruntime ")
    opened = engines.open_checked

    def refused(graph: Graph, options: EngineOptions) -> Runner:
        if options.engine == "onnx":
            raise EngineError("a broken installation")
        return opened(graph, options)

    monkeypatch.setattr(engines, "open_checked", refused)
    runner = engines.load(compact(2), threads=1)
    assert runner.name.startswith("ncnn ")
    assert runner.notes == (
        "onnx is the fastest engine here but failed, so ncnn ran on the CPU: a broken installation",
    )
