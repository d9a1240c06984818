"""What a GPU adds to the choice, what a named device leaves of it, and a choice that cannot be opened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.engines.autotune.test_choose import MACHINE, Stopwatch, ask, device, never
from tests.tiny import compact
from upres import engines
from upres.engines.autotune import choose
from upres.engines.autotune.race import Candidate
from upres.engines.ncnn.devices import VulkanDevice
from upres.engines.options import EngineOptions
from upres.engines.runner import Runner
from upres.errors import EngineError
from upres.graph.graph import Graph


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(choose, "is_busy", lambda: False)


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
