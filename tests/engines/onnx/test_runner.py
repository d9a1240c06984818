"""ONNX Runtime: its providers, its silent fallback to the CPU, which is refused, its exceptions, half precision."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.oracles.networks import SRVGGNetCompact, randomized, state_of
from upres.engines.onnx import runner as engine
from upres.engines.onnx.runner import OnnxRunner
from upres.engines.runner import parallel_of
from upres.errors import EngineError, OutOfMemoryError, UsageError
from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph


def small() -> Graph:
    return graph_from_state_dict(state_of(randomized(SRVGGNetCompact(width=4, convs=1, scale=2), 1)))


class Runtime:
    """Stands for a build of onnxruntime with these providers, of which it can load some; says what it was asked for."""

    def __init__(self, present: list[str], loads: list[str]) -> None:
        self.present, self.loads = present, loads
        self.preloaded = 0
        self.asked: list[tuple[list[Any], dict[str, Any]]] = []

    SessionOptions = SimpleNamespace

    def get_available_providers(self) -> list[str]:
        return [*self.present, "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        print("Failed to load libcudnn.so.9")  # as the real one does
        self.preloaded += 1

    def InferenceSession(self, data: bytes, settings: Any, *, providers: list[Any], **rest: Any) -> Any:
        self.settings = settings
        self.asked.append((providers, rest))
        names = [name for name, _ in providers if name in self.loads]
        return SimpleNamespace(get_providers=lambda: [*names, "CPUExecutionProvider"])


def with_runtime(monkeypatch: pytest.MonkeyPatch, present: list[str], loads: list[str] | None = None) -> Runtime:
    runtime = Runtime(present, present if loads is None else loads)
    monkeypatch.setattr(engine, "_RUNTIME", runtime)
    return runtime


def test_cuda_is_asked_for_without_tensorfloat_and_without_a_way_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = with_runtime(monkeypatch, ["TensorrtExecutionProvider", "CUDAExecutionProvider"])
    runner = OnnxRunner(small(), device="cuda:1")
    ((((name, options),), rest),) = runtime.asked
    assert (name, options["device_id"], options["use_tf32"], rest) == (
        "CUDAExecutionProvider",
        "1",
        "0",
        {"enable_fallback": 0},
    )
    assert (runner.device, runner.notes, runtime.preloaded) == ("cuda:1", (), 1)
    assert capsys.readouterr() == ("", "")
    assert OnnxRunner(small(), device="cuda").device == "cuda:0"


@pytest.mark.parametrize(
    ("device", "provider", "told"),
    [
        ("rocm", "MIGraphXExecutionProvider", "rocm:0"),
        ("rocm:1", "ROCMExecutionProvider", "rocm:1"),
        ("migraphx", "MIGraphXExecutionProvider", "migraphx:0"),
        ("directml", "DmlExecutionProvider", "directml:0"),
        ("coreml", "CoreMLExecutionProvider", "coreml"),
        ("openvino", "OpenVINOExecutionProvider", "openvino"),
    ],
)
def test_other_providers(device: str, provider: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = with_runtime(monkeypatch, [provider])
    assert OnnxRunner(small(), device=device).device == told
    assert runtime.asked[0][0][0][0] == provider
    assert not runtime.preloaded
    assert getattr(runtime.settings, "enable_mem_pattern", True) is (provider != "DmlExecutionProvider")


@pytest.mark.parametrize("allowed", [True, False])
def test_tensorrt_says_that_it_rounds(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no option against TensorFloat-32 (microsoft/onnxruntime#26029)."""
    with_runtime(monkeypatch, ["TensorrtExecutionProvider"])
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1" if allowed else "0")
    notes = OnnxRunner(small(), device="tensorrt").notes
    assert [("NVIDIA_TF32_OVERRIDE=0" in note) for note in notes] == ([True] if allowed else [])


def test_a_provider_that_is_there_but_cannot_be_loaded_is_no_cpu_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_runtime(monkeypatch, ["CUDAExecutionProvider"], loads=[])
    with pytest.raises(
        EngineError, match="CUDAExecutionProvider but cannot load it, and would run on CPUExecutionProvider; "
    ):
        OnnxRunner(small(), device="cuda")


def test_a_provider_that_is_not_in_this_build_is_named_with_its_package() -> None:
    """The real runtime: that of the CPU, wherever tests run."""
    present = ", ".join(engine._RUNTIME.get_available_providers())
    for device, package in (("directml", "onnxruntime-directml"), ("rocm", "onnxruntime-migraphx or onnxruntime-rocm")):
        with pytest.raises(
            EngineError, match=f"this onnxruntime has {present}, not .*; remedy: .* pip install {package}"
        ):
            OnnxRunner(small(), device=device)


@pytest.mark.parametrize("device", ["quantum", "cpu:1", "cuda:x", "coreml:0", ""])
def test_a_device_that_is_none(device: str) -> None:
    with pytest.raises(EngineError, match=f"'onnx' has no device '{device}'; expected one of cpu, cuda, .*, cuda:N, "):
        OnnxRunner(small(), device=device)


def test_every_exception_of_the_runtime_becomes_ours() -> None:
    """They have no base in common; a session is made to raise each of them."""
    runner = OnnxRunner(small(), threads=1)
    lr = np.zeros((1, 3, 4, 5), np.float32)
    own = [kind for kind in engine.FAILURES if kind.__module__.startswith("onnxruntime")]
    assert len(own) > 10
    for kind in own:

        def run(*_: object, kind: type[Exception] = kind) -> None:
            raise kind(
                "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size "
                "7\nmore"
            )

        runner._sessions[1] = SimpleNamespace(run=run)
        with pytest.raises(
            OutOfMemoryError, match=r"on 4 x 5 pixels: 6 : RUNTIME_EXCEPTION : Failed to .* size 7; try a smaller tile"
        ):
            runner(lr)

    def run_out_of_luck(*_: object) -> None:
        raise own[0]("[ONNXRuntimeError] : 1 : FAIL : CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED")

    runner._sessions[1] = SimpleNamespace(run=run_out_of_luck)
    with pytest.raises(EngineError, match="failed on 4 x 5 pixels: 1 : FAIL : CUDNN failure 5000") as caught:
        runner(lr)
    assert not isinstance(caught.value, OutOfMemoryError)


def test_tiles_in_one_thread_are_the_same_to_the_bit_and_may_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number of threads has a session of its own; one of them is enough for large weights."""
    random = np.random.default_rng(2)
    runner = OnnxRunner(graph_from_state_dict(state_of(randomized(SRVGGNetCompact(width=32, convs=3), 1))), threads=2)
    calls, alone = parallel_of(runner)
    pictures = [random.random((1, 3, side, 2 * side), dtype=np.float32) for side in (17, 33, 48)]
    expected = [runner(lr) for lr in pictures]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(alone, pictures * 3))
    assert calls == 2
    assert set(runner._sessions) == {1, 2}
    for sr, wanted in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(sr, wanted)
    monkeypatch.setattr(engine, "_KEPT_TWICE", 100)
    runner._sessions.pop(2)
    np.testing.assert_array_equal(runner(pictures[0]), expected[0])
    assert set(runner._sessions) == {2}
    runner.close()
    with pytest.raises(EngineError, match="closed"):
        alone(pictures[0])


def test_a_gpu_runs_one_tile_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with_runtime(monkeypatch, ["CUDAExecutionProvider"])
    assert parallel_of(OnnxRunner(small(), device="cuda", threads=4))[0] == 1


def test_a_program_that_the_runtime_refuses_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "onnx_bytes", lambda *_, **__: b"no model")
    with pytest.raises(EngineError, match="cannot use device 'auto' for this compact network: "):
        OnnxRunner(small(), threads=1)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="engine 'onnx' has precisions fp32, fp16; got 'bf16'"):
        OnnxRunner(small(), precision="bf16")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="ARM processors compute in float16")
def test_half_precision_on_the_cpu_is_what_its_note_says() -> None:
    """On x86 only the weights are float16, and the runtime rounds nothing else: with weights that float16 holds,
    nothing changes.
    """
    state = state_of(randomized(SRVGGNetCompact(width=8, convs=8, scale=2), 1))
    graph = graph_from_state_dict({name: array.astype(np.float16).astype(np.float32) for name, array in state.items()})
    half, single = OnnxRunner(graph, threads=1, precision="fp16"), OnnxRunner(graph, threads=1)
    assert len(half.notes) == 1 and "fp16 on the CPU halves the weights" in half.notes[0] and not single.notes
    lr = np.random.default_rng(0).random((1, 3, 12, 13), dtype=np.float32)
    np.testing.assert_allclose(half(lr), single(lr), rtol=0, atol=1e-6)
