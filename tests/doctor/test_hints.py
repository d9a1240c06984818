"""Advice for made machines: each fault has its remedy, and a healthy one needs none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.system.test_memory import GIB
from upres.doctor.hints import hints
from upres.doctor.report import EngineCheck, Hint, Run
from upres.system.hardware import CacheFolder, Cards, Machine, Memory, Processor, Python, System

CPU = EngineCheck("ncnn", "cpu", "cpu", "", "1", "ok", "", (), "", None)
HEALTHY = Machine(
    Python("3.11.2", "CPython", "/usr/bin/python3"),
    System("Debian", "linux", "6.1", "x86_64", False),
    Processor("Fast 9000", 8, None),
    Memory(16 * GIB, 8 * GIB, None),
    Cards((), False, ()),
    CacheFolder("/home/a/.cache/upres", True, 0, 90 * GIB, None),
)
NVIDIA = replace(HEALTHY, cards=Cards(("NVIDIA",), True, ()))


Builds = dict[str, dict[str, Any]]


def advice(
    machine: Machine = HEALTHY,
    *,
    builds: Builds | None = None,
    engines: tuple[EngineCheck, ...] = (CPU,),
    **packages: str,
) -> list[Hint]:
    versions = {name.replace("_", "-"): version for name, version in packages.items()}
    return hints(machine, versions, engines, builds or {})


def test_a_healthy_machine_needs_no_advice() -> None:
    assert advice(torch="2.4.0", ncnn="1.0.20260101") == []


def engine(name: str, device: str = "cpu", **changes: Any) -> EngineCheck:
    return replace(CPU, engine=name, device=device, kind=changes.pop("kind", device.split(":")[0]), **changes)


def test_an_nvidia_card_and_a_torch_for_cpus() -> None:
    (hint,) = advice(
        NVIDIA, engines=(CPU, engine("torch", version="2.13.0")), builds={"torch": {"cuda": None, "hip": None}}
    )
    assert "CPU-only build" in hint.what and "--index-url https://download.pytorch.org/whl/cu" in hint.remedy
    # --quick: the version alone tells
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch", version="2.13.0+cpu", state="not-run")))
    assert "CPU-only build" in hint.what
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch")), builds={"torch": {"cuda": "12.8", "hip": None}})
    assert "finds no CUDA device" in hint.what and "nvidia-smi" in hint.remedy
    both = (CPU, engine("torch"), engine("torch", "cuda:0"))
    assert advice(NVIDIA, engines=both, builds={"torch": {"cuda": "12.8", "hip": None}}) == []
    assert (
        advice(engines=(CPU, engine("torch", version="2.13.0+cpu")), builds={"torch": {"cuda": None, "hip": None}})
        == []
    )


def test_a_card_that_is_newer_than_torch() -> None:
    words = "CUDA error: no kernel image is available for execution"
    failed = engine("torch", "cuda:0", state="failed", device_name="RTX 5090", words=words)
    (hint,) = advice(NVIDIA, engines=(CPU, engine("torch"), failed), builds={"torch": {"cuda": "12.1", "hip": None}})
    assert "no kernels for RTX 5090" in hint.what


def test_an_nvidia_card_without_its_driver() -> None:
    bare = replace(HEALTHY, cards=Cards(("NVIDIA",), False, ()))
    (hint,) = advice(bare, engines=(CPU, engine("torch", version="2+cpu")))
    assert "nvidia-driver" in hint.remedy
    (hint,) = advice(replace(bare, system=replace(HEALTHY.system, container=True)))
    assert "docker run --gpus all" in hint.remedy


def test_onnxruntime_without_cuda_and_two_of_them() -> None:
    cpu_build = {"onnx": {"providers": ["CPUExecutionProvider"]}}
    (hint,) = advice(NVIDIA, engines=(CPU, engine("onnx")), builds=cpu_build)
    assert "no CUDA provider" in hint.what and "onnxruntime-gpu" in hint.remedy
    assert (
        advice(NVIDIA, engines=(CPU, engine("onnx")), builds={"onnx": {"providers": ["CUDAExecutionProvider"]}}) == []
    )
    assert advice(engines=(CPU, engine("onnx")), builds=cpu_build) == []
    (hint,) = advice(onnxruntime="1.20", onnxruntime_gpu="1.20")
    assert "overwrite" in hint.why and "pip uninstall -y onnxruntime onnxruntime-gpu" in hint.remedy


@pytest.mark.parametrize(
    ("package", "version"), [("torch", "2.1.0"), ("ncnn", "1.0.20240102"), ("onnxruntime_gpu", "1.10")]
)
def test_what_is_too_old(package: str, version: str) -> None:
    (hint,) = advice(**{package: version})
    name = package.replace("_", "-")
    assert hint.what.startswith(f"{name} {version} is installed") and hint.remedy.startswith(
        f"pip install --upgrade '{name}>="
    )


def test_vulkan() -> None:
    absent = engine("ncnn", "vulkan", state="absent")
    software = engine("ncnn", "vulkan:0", kind="vulkan-software", device_name="llvmpipe")
    amd = replace(HEALTHY, cards=Cards(("AMD",), False, ()))
    assert advice(engines=(CPU, absent)) == []  # no card: nothing is amiss
    (hint,) = advice(amd, engines=(CPU, absent))
    assert "sudo apt install libvulkan1 mesa-vulkan-drivers" in hint.remedy
    (hint,) = advice(engines=(CPU, software))
    assert "software driver (llvmpipe)" in hint.what and "slower" in hint.why and "nothing to do" in hint.remedy
    assert "AMD" in advice(amd, engines=(CPU, software))[0].remedy
    assert advice(amd, engines=(CPU, software, engine("ncnn", "vulkan:1", kind="vulkan"))) == []
    (hint,) = advice(replace(HEALTHY, cards=Cards((), False, ("/dev/dri/renderD128",))))
    assert "usermod -aG render" in hint.remedy


def test_openvino_that_does_not_see_the_gpu() -> None:
    intel = replace(HEALTHY, cards=Cards(("Intel",), False, ()))
    (hint,) = advice(intel, engines=(CPU, engine("openvino")))
    assert "intel-opencl-icd" in hint.remedy
    assert advice(intel, engines=(CPU, engine("openvino"), engine("openvino", "gpu"))) == []
    assert advice(intel, engines=(CPU, engine("openvino", state="not-run"))) == []


def test_half_precision_that_is_wrong() -> None:
    """Black pictures of older cards in fp16 (Real-ESRGAN #330, #479 and many more)."""
    runs = (Run("fp32", True, 1e-6, 0.1, ""), Run("fp16", False, None, 0.1, ""))
    (hint,) = advice(engines=(CPU, engine("ncnn", "vulkan:0", runs=runs)))
    assert "ncnn on vulkan:0 gives wrong results in fp16" in hint.what and "fp32" in hint.remedy


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (replace(HEALTHY, memory=Memory(16 * GIB, GIB // 2, None)), ("512 MB", "close other programs")),
        (replace(HEALTHY, memory=Memory(16 * GIB, GIB // 2, GIB)), ("512 MB", "give the container more memory")),
        (replace(HEALTHY, processor=Processor("x", 64, 1.5)), ("1.5 cores, but sees 64", "`threads=2`")),
        (
            replace(HEALTHY, cache=replace(HEALTHY.cache, problem="cannot create a file in /: read-only")),
            ("read-only", "UPRES_CACHE"),
        ),
        (replace(HEALTHY, cache=replace(HEALTHY.cache, disk_free=GIB // 4)), ("256 MB", "another disk")),
    ],
)
def test_short_resources(machine: Machine, words: tuple[str, str]) -> None:
    (hint,) = advice(machine)
    assert words[0] in hint.what and words[1] in hint.remedy and hint.why
