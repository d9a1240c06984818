"""Advice drawn from what the doctor found. Nothing is examined here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from upres.doctor.report import EngineCheck, Hint
from upres.doctor.requirements import too_old
from upres.system.hardware import Machine
from upres.system.packages import builds_of
from upres.system.text import words_for_bytes as size

_LITTLE = 1024**3  # bytes, of memory and of disk
# cu126 suits most drivers.
_TORCH_CUDA = (
    "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 "
    "(choose the CUDA version for your driver: https://pytorch.org/get-started/locally/)"
)
Packages = dict[str, str | None]
Builds = dict[str, dict[str, Any]]  # what torch and onnxruntime report about their builds, by engine


def hints(machine: Machine, packages: Packages, engines: tuple[EngineCheck, ...], builds: Builds) -> list[Hint]:
    """All that apply, the most useful first."""
    torch, onnx, ncnn, openvino = (
        [check for check in engines if check.engine == name and check.state != "missing"]
        for name in ("torch", "onnx", "ncnn", "openvino")
    )
    vulkan = [check for check in ncnn if check.kind.startswith("vulkan")]
    rows = [
        *_packages(packages),
        *(_nvidia(machine, packages, torch, bool(onnx), builds) if "NVIDIA" in machine.cards.makers else ()),
        *_vulkan(machine, vulkan),
        *_openvino(machine, openvino),
        *_half(engines),
        *_resources(machine),
    ]
    return [Hint(*row) for row in rows]


_Rows = Iterator[tuple[str, str, str]]  # what, why, remedy


def _packages(packages: Packages) -> _Rows:
    runtimes = [name for name in builds_of("onnxruntime") if packages.get(name)]
    if len(runtimes) > 1:
        remedy = f"pip uninstall -y {' '.join(runtimes)} && pip install {runtimes[-1]} (or the build you want)"
        what = f"{' and '.join(runtimes)} are installed together"
        yield what, "they are builds of one library and overwrite each other's files, which can break both", remedy
    for name, version in packages.items():
        if version is not None and (lowest := too_old(name, version)):
            what = f"{name} {version} is installed, but upres requires {lowest} or newer"
            remedy = f"pip install --upgrade '{name}>={lowest}'"
            yield what, "older versions are untested and lack functions upres uses", remedy


def _nvidia(machine: Machine, packages: Packages, torch: list[EngineCheck], onnx: bool, builds: Builds) -> _Rows:
    if not machine.cards.nvidia_driver and machine.system.kind == "linux":
        remedy = "install the NVIDIA driver: sudo ubuntu-drivers install (Ubuntu) or apt install nvidia-driver (Debian)"
        if machine.system.container:
            remedy = "share the GPU: docker run --gpus all ... (the host needs the NVIDIA Container Toolkit)"
        yield "there is an NVIDIA GPU, but no driver for it", "no engine can use the GPU without it", remedy
        return
    build, version = builds.get("torch"), (torch[0].version or "") if torch else ""
    if torch and (version.endswith("+cpu") if build is None else not build["cuda"] and not build["hip"]):
        what = f"there is an NVIDIA GPU, but torch {version} is a CPU-only build"
        yield what, "the torch engine cannot use the GPU", _TORCH_CUDA
    elif torch and build and build["cuda"] and not any(check.kind == "cuda" for check in torch):
        why = "the driver is too old for it, or the GPU is hidden (CUDA_VISIBLE_DEVICES, container)"
        remedy = f"nvidia-smi shows the newest CUDA the driver supports; update the driver, or {_TORCH_CUDA}"
        yield f"torch is built for CUDA {build['cuda']}, but finds no CUDA device", why, remedy
    for check in torch:
        if "no kernel image" in check.words:
            what = f"torch {check.version} has no kernels for {check.device_name or check.device}"
            yield what, "the GPU is newer, or much older, than this build supports", _TORCH_CUDA
    build = builds.get("onnx")
    has_cuda = "CUDAExecutionProvider" in build["providers"] if build else packages.get("onnxruntime-gpu")
    if onnx and not has_cuda:
        remedy = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
        what = "there is an NVIDIA GPU, but this onnxruntime has no CUDA provider"
        yield what, "the onnx engine runs on the CPU", remedy


def _vulkan(machine: Machine, vulkan: list[EngineCheck]) -> _Rows:
    maker, linux = " and ".join(dict.fromkeys(machine.cards.makers)), machine.system.kind == "linux"
    kinds = {check.kind for check in vulkan if check.state != "absent"}
    packages = "mesa-vulkan-drivers (AMD, Intel), or install the NVIDIA driver"
    if locked := ", ".join(machine.cards.locked):
        remedy = "sudo usermod -aG render $USER, then log out and back in"
        yield f"this user has no permission to open {locked}", "Vulkan and OpenVINO cannot use the GPU", remedy
    if maker and vulkan and not kinds:
        remedy = f"sudo apt install libvulkan1 {packages}" if linux else "install the newest driver for the GPU"
        what = f"there is a GPU ({maker}), but no Vulkan driver for it"
        yield what, "the ncnn engine runs on GPUs of every make, through Vulkan", remedy
    if kinds == {"vulkan-software"}:
        remedy = f"sudo apt install {packages}, for the {maker} GPU" if maker else "nothing to do: auto ignores it"
        what = f"the only Vulkan device is a software driver ({vulkan[0].device_name})"
        yield what, "it runs on the CPU, slower than the engines do there, and is useful for tests only", remedy


def _openvino(machine: Machine, openvino: list[EngineCheck]) -> _Rows:
    ran = [check.kind for check in openvino if check.state != "not-run"]
    if "Intel" in machine.cards.makers and ran and "gpu" not in ran:
        linux = machine.system.kind == "linux"
        remedy = "sudo apt install intel-opencl-icd" if linux else "install Intel's newest graphics driver"
        yield "there is an Intel GPU, but OpenVINO does not find it", "OpenVINO needs Intel's OpenCL driver", remedy


def _half(engines: tuple[EngineCheck, ...]) -> _Rows:
    """fp16 that comes out black, green or coarse, as on some older GPUs."""
    for check in engines:
        wrong = [run.precision for run in check.runs if run.precision != "fp32" and not run.right]
        if check.state == "ok" and wrong:
            why = "pictures would come out black or coarse; precision auto detects this and uses fp32"
            remedy = "keep precision auto, or choose fp32; a newer driver may fix it"
            yield f"{check.engine} on {check.device} gives wrong results in {wrong[0]}", why, remedy


def _resources(machine: Machine) -> _Rows:
    memory, processor, cache = machine.memory, machine.processor, machine.cache
    if memory.available < _LITTLE:
        limited = memory.limit is not None and memory.limit < 2 * _LITTLE
        why = "pictures are split into small tiles, which is slower, and large networks may not fit"
        remedy = "give the container more memory" if limited else "close other programs"
        yield f"only {size(memory.available)} of memory is free", why, remedy
    if processor.quota is not None and processor.quota < processor.cores:
        what = f"this container may use {processor.quota:g} cores, but sees {processor.cores}"
        why = "with one thread per visible core, threads wait for each other"
        yield what, why, f"set `threads={max(1, round(processor.quota))}`"
    if cache.problem is not None:
        why = "models cannot be downloaded or added, and which engine is fastest is measured anew each time"
        remedy = "make it writable, or set UPRES_CACHE to a writable folder"
        yield f"cannot write to the cache folder {cache.path}: {cache.problem}", why, remedy
    elif cache.disk_free < _LITTLE:
        what = f"only {size(cache.disk_free)} is free on the disk of {cache.path}"
        remedy = "free some space, or set UPRES_CACHE to a folder on another disk"
        yield what, "model downloads (2 to 70 MB each) and results may not fit", remedy
