"""What a probe tells: of results, and of the devices that a library finds."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.tiny import FakeRunner
from upres.doctor import probe
from upres.doctor.requirements import TESTED
from upres.engines.ncnn.devices import vulkan_devices
from upres.engines.registry import check_device
from upres.engines.sample_network import result_of
from upres.errors import EngineError
from upres.system.child import answer_in
from upres.system.packages import missing_modules
from upres.system.subprocesses import python_command, run


@pytest.mark.parametrize(("spoil", "right"), [(0.0, True), (0.01, False), (float("nan"), False)])
def test_a_wrong_result_is_called_wrong(capsys: pytest.CaptureFixture[str], spoil: float, right: bool) -> None:
    def spoiled(lr: np.ndarray) -> np.ndarray:
        result = result_of(lr).astype(np.float32)
        result[0, 1, 5, 7] += spoil
        return result

    probe._compare(spoiled, "cpu", "fp32")
    (run,) = told(capsys, "run")
    assert run["right"] is right and (run["difference"] is None) is (spoil != spoil)


def told(capsys: pytest.CaptureFixture[str], step: str) -> list[dict[str, Any]]:
    answers = map(answer_in, capsys.readouterr().out.splitlines())
    return [answer for answer in answers if answer is not None and answer["step"] == step]


FAKES: dict[str, tuple[str, str, Any]] = {
    "torch": (
        "torch",
        "upres.engines.torch.torch",
        SimpleNamespace(
            version=SimpleNamespace(cuda="12.8", hip=None),
            cuda=SimpleNamespace(device_count=lambda: 2, get_device_name=lambda index: f"Card {index}"),
            backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: True)),
            xpu=SimpleNamespace(device_count=lambda: 0),
        ),
    ),
    "onnx": (
        "onnxruntime",
        "upres.engines.onnx.runner._RUNTIME",
        SimpleNamespace(get_available_providers=lambda: ["DmlExecutionProvider", "CPUExecutionProvider"]),
    ),
    "openvino": (
        "openvino",
        "upres.engines.openvino._core",
        lambda: SimpleNamespace(
            available_devices=["CPU", "GPU.0", "NPU"], get_property=lambda name, _: f"Intel {name}"
        ),
    ),
}


@pytest.mark.parametrize(
    ("engine", "devices"),
    [
        ("torch", [["cuda:0", "cuda", "Card 0"], ["cuda:1", "cuda", "Card 1"], ["mps", "mps", "Apple GPU"]]),
        ("onnx", [["directml", "directml", "DmlExecutionProvider"]]),
        ("openvino", [["gpu:0", "gpu", "Intel GPU.0"], ["npu", "npu", "Intel NPU"]]),
    ],
)
def test_devices_that_a_library_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], engine: str, devices: list[list[str]]
) -> None:
    monkeypatch.setattr(probe, "_run", lambda *_: None)
    module, place, fake = FAKES[engine]
    monkeypatch.setattr(place, fake)
    monkeypatch.setitem(sys.modules, module, fake)
    probe.main([engine])
    (found,) = told(capsys, "devices")
    assert found["devices"] == devices
    for device, kind, _ in devices:
        check_device(engine, device)  # the door to the engines knows it by that name
        assert (engine, kind) in TESTED


def test_a_run_elsewhere_than_asked_for_and_half_precision_that_was_given_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Runner(FakeRunner):
        name, device, notes = "torch 9", "cuda:0", ("fp16 is not used, it was black",)

        def __call__(self, lr: np.ndarray) -> np.ndarray:
            return result_of(lr).astype(np.float32)

    monkeypatch.setattr("upres.engines.load", lambda *_, **__: Runner())
    with pytest.raises(EngineError, match="asked for mps, but it ran on cuda:0"):
        probe.main(["torch", "mps"])
    probe.main(["torch", "cuda:0"])
    single, half = told(capsys, "run")
    assert single["right"] and single["precision"] == "fp32"
    assert not half["right"] and (half["precision"], half["words"]) == ("fp16", "fp16 is not used, it was black")


@pytest.mark.parametrize(
    ("engine", "device"), [pytest.param("ncnn", "vulkan:0", marks=pytest.mark.vulkan), ("openvino", "cpu")]
)
def test_it_runs_and_is_right(engine: str, device: str) -> None:
    """What `upres doctor` does with the engines of this machine; the others are in tests/engines/test_engines.py,
    against each other.
    """
    if missing_modules(engine):
        pytest.skip(f"{engine} is not installed")
    job = (engine,) if device == "cpu" else (engine, device)
    if device != "cpu" and not vulkan_devices()[0]:
        pytest.skip("no Vulkan driver")
    outcome = run([*python_command("upres.doctor.probe"), *job], timeout_s=120.0)
    assert outcome.all("run"), outcome.reason
    assert all(run["right"] and run["device"] == device for run in outcome.all("run")), outcome.told
    assert outcome.ended_well, outcome.reason
