"""Options of engines in one value.

What does not go together is tested where engines are opened: `autotune/test_choose.py`.
"""

from __future__ import annotations

import pytest

from tests.tiny import compact
from upres import engines
from upres.engines import registry
from upres.engines.options import EngineOptions
from upres.errors import EngineError, UsageError


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        (
            {"engine": "trch"},
            "`engine` must be one of auto, ncnn, torch, onnx, openvino; got 'trch', did you mean 'torch'",
        ),
        ({"precision": "fp8"}, "`precision` must be one of auto, fp32, fp16, bf16; got 'fp8'"),
        ({"threads": -1}, r"`threads` must be at least 0 \(0 is one per core\), got -1"),
        ({"expected_px": 0}, "`expected_px` must be at least 1, got 0"),
        ({"device": "cudda"}, "`device` must be auto or one of .*; got 'cudda', did you mean 'cuda'"),
        ({"engine": "ncnn", "device": "cuda"}, "engine 'ncnn' has no device 'cuda'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name_before_anything_is_opened(
    keywords: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        EngineOptions(**keywords)  # type: ignore[arg-type]


def test_load_takes_them_whole_and_single_keywords() -> None:
    runner = engines.load(compact(2), EngineOptions(engine="ncnn"), threads=1)
    assert runner.name.startswith("ncnn ")
    runner.close()
    with pytest.raises(TypeError, match="unknown option 'presicion', did you mean 'precision'"):
        engines.load(compact(2), presicion="fp32")


@pytest.mark.parametrize(
    ("engine", "device", "words"),
    [
        ("openvino", "auto", "engine 'openvino' is not installed: pip install 'upres[openvino]'"),
        ("auto", "npu", "device 'npu' needs engine openvino, which is not installed: pip install 'upres[openvino]'"),
        (
            "auto",
            "gpu",
            r"pip install 'upres[openvino]'; for other GPUs use device cuda .*, vulkan .*, mps .* or directml",
        ),
    ],
)
def test_what_is_not_installed_is_refused_before_anything(
    engine: str, device: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "missing_modules", lambda name: ["openvino"] if name == "openvino" else [])
    with pytest.raises(EngineError, match=words.replace("upres[", r"upres\[")):
        registry.check_installed(engine, device)
    for named in (("auto", "auto"), ("auto", "cpu"), ("ncnn", "cpu"), ("auto", "cuda:1")):
        registry.check_installed(*named)


def test_gpu_alone_is_refused_with_the_devices_that_fit() -> None:
    with pytest.raises(UsageError, match=r"'gpu': it runs on cpu, vulkan; .*needs `engine` openvino; for other GPUs"):
        EngineOptions("ncnn", "gpu")
