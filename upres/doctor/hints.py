"""Advice drawn from what the doctor found. Nothing is examined here."""

from __future__ import annotations

from typing import Any

from upres.doctor.report import EngineCheck, Hint
from upres.system.hardware import Machine
from upres.system.packages import builds_of, too_old
from upres.system.text import words_for_bytes as size

_LITTLE = 1024**3  # bytes, of memory and of disk
_TORCH_CUDA = (  # cu126 suits most drivers
    "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 "
    "(choose the CUDA version for your driver: https://pytorch.org/get-started/locally/)"
)
Packages = dict[str, str | None]
Builds = dict[str, dict[str, Any]]  # what torch and onnxruntime report about their builds, by engine
_Row = tuple[object, str, str, str]  # whether it applies, what was found, why it matters, the remedy


def hints(machine: Machine, packages: Packages, engines: tuple[EngineCheck, ...], builds: Builds) -> list[Hint]:
    """All that apply, the most useful first."""
    found = {check.engine: list[EngineCheck]() for check in engines}
    for check in engines:
        found[check.engine] += [check] if check.state != "missing" else []
    rows = [
        *_packages(packages), *_nvidia(machine, packages, found, builds), *_gpus(machine, found),
        *(row for check in engines for row in _half(check)), *_resources(machine),
    ]  # fmt: skip
    return [Hint(*row) for applies, *row in rows if applies]


def _packages(packages: Packages) -> list[_Row]:
    runtimes = [name for name in builds_of("onnxruntime") if packages.get(name)]
    old = [(name, found, lowest) for name, found in packages.items() if found and (lowest := too_old(name, found))]
    return [
        (len(runtimes) > 1, f"{' and '.join(runtimes)} are installed together",
         "they are builds of one library and overwrite each other's files, which can break both",
         f"pip uninstall -y {' '.join(runtimes)} && pip install {''.join(runtimes[-1:])} (or the build you want)"),
        *((True, f"{name} {version} is installed, but upres requires {lowest} or newer",
           "older versions are untested and lack functions upres uses", f"pip install --upgrade '{name}>={lowest}'")
          for name, version, lowest in old),
    ]  # fmt: skip


def _nvidia(machine: Machine, packages: Packages, found: dict[str, list[EngineCheck]], builds: Builds) -> list[_Row]:
    if "NVIDIA" not in machine.cards.makers:
        return []
    if not machine.cards.nvidia_driver and machine.system.kind == "linux":
        remedy = "install the NVIDIA driver: sudo ubuntu-drivers install (Ubuntu) or apt install nvidia-driver (Debian)"
        if machine.system.container:
            remedy = "share the GPU: docker run --gpus all ... (the host needs the NVIDIA Container Toolkit)"
        return [(True, "there is an NVIDIA GPU, but no driver for it", "no engine can use the GPU without it", remedy)]
    torch, build, onnx = found.get("torch", []), builds.get("torch"), builds.get("onnx")
    version = (torch[0].version or "") if torch else ""
    for_cpu = version.endswith("+cpu") if build is None else not (build["cuda"] or build["hip"])
    cuda = build["cuda"] if build else None
    on_cpu = "CUDAExecutionProvider" not in onnx["providers"] if onnx else not packages.get("onnxruntime-gpu")
    return [
        (torch and for_cpu, f"there is an NVIDIA GPU, but torch {version} is a CPU-only build",
         "the torch engine cannot use the GPU", _TORCH_CUDA),
        (cuda and torch and all(check.kind != "cuda" for check in torch),
         f"torch is built for CUDA {cuda}, but finds no CUDA device",
         "the driver is too old for it, or the GPU is hidden (CUDA_VISIBLE_DEVICES, container)",
         f"nvidia-smi shows the newest CUDA the driver supports; update the driver, or {_TORCH_CUDA}"),
        *(("no kernel image" in check.words,
           f"torch {check.version} has no kernels for {check.device_name or check.device}",
           "the GPU is newer, or much older, than this build supports", _TORCH_CUDA) for check in torch),
        (found.get("onnx") and on_cpu, "there is an NVIDIA GPU, but this onnxruntime has no CUDA provider",
         "the onnx engine runs on the CPU", "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"),
    ]  # fmt: skip


def _gpus(machine: Machine, found: dict[str, list[EngineCheck]]) -> list[_Row]:
    """Vulkan for GPUs of every make, and OpenVINO for Intel's."""
    maker, linux = " and ".join(dict.fromkeys(machine.cards.makers)), machine.system.kind == "linux"
    vulkan = [check for check in found.get("ncnn", []) if check.kind.startswith("vulkan")]
    kinds = {check.kind for check in vulkan if check.state != "absent"}
    openvino = [check.kind for check in found.get("openvino", []) if check.state != "not-run"]
    packages = "mesa-vulkan-drivers (AMD, Intel), or install the NVIDIA driver"
    locked = ", ".join(machine.cards.locked)
    return [
        (locked, f"this user has no permission to open {locked}", "Vulkan and OpenVINO cannot use the GPU",
         "sudo usermod -aG render $USER, then log out and back in"),
        (maker and vulkan and not kinds, f"there is a GPU ({maker}), but no Vulkan driver for it",
         "the ncnn engine runs on GPUs of every make, through Vulkan",
         f"sudo apt install libvulkan1 {packages}" if linux else "install the newest driver for the GPU"),
        (kinds == {"vulkan-software"},
         f"the only Vulkan device is a software driver ({vulkan[0].device_name if vulkan else ''})",
         "it runs on the CPU, slower than the engines do there, and is useful for tests only",
         f"sudo apt install {packages}, for the {maker} GPU" if maker else "nothing to do: auto ignores it"),
        ("Intel" in machine.cards.makers and openvino and "gpu" not in openvino,
         "there is an Intel GPU, but OpenVINO does not find it", "OpenVINO needs Intel's OpenCL driver",
         "sudo apt install intel-opencl-icd" if linux else "install Intel's newest graphics driver"),
    ]  # fmt: skip


def _half(check: EngineCheck) -> list[_Row]:
    """fp16 that comes out black, green or coarse, as on some older GPUs."""
    why = "pictures would come out black or coarse; precision auto detects this and uses fp32"
    remedy = "keep precision auto, or choose fp32; a newer driver may fix it"
    wrong = [run.precision for run in check.runs if run.precision != "fp32" and not run.right]
    applies = check.state == "ok" and bool(wrong)
    return [(applies, f"{check.engine} on {check.device} gives wrong results in {''.join(wrong[:1])}", why, remedy)]


def _resources(machine: Machine) -> list[_Row]:
    memory, processor, cache = machine.memory, machine.processor, machine.cache
    limited, quota = (memory.limit or _LITTLE * 2) < 2 * _LITTLE, processor.quota or processor.cores
    return [
        (memory.available < _LITTLE, f"only {size(memory.available)} of memory is free",
         "pictures are split into small tiles, which is slower, and large networks may not fit",
         "give the container more memory" if limited else "close other programs"),
        (quota < processor.cores, f"this container may use {quota:g} cores, but sees {processor.cores}",
         "with one thread per visible core, threads wait for each other", f"set `threads={max(1, round(quota))}`"),
        (cache.problem is not None, f"cannot write to the cache folder {cache.path}: {cache.problem}",
         "models cannot be downloaded or added, and which engine is fastest is measured anew each time",
         "make it writable, or set UPRES_CACHE to a writable folder"),
        (cache.problem is None and cache.disk_free < _LITTLE,
         f"only {size(cache.disk_free)} is free on the disk of {cache.path}",
         "model downloads (2 to 70 MB each) and results may not fit",
         "free some space, or set UPRES_CACHE to a folder on another disk"),
    ]  # fmt: skip
