"""What to mend, from what was found: each hint says what was seen, why it matters and what to do. Nothing is looked at here."""

from __future__ import annotations

from collections.abc import Iterator

from upres.doctor.report import EngineCheck, Findings, Hint
from upres.doctor.requirements import too_old
from upres.system.packages import builds_of
from upres.system.text import words_for_bytes

_LITTLE_MEMORY = 1024**3
_LITTLE_DISK = 1024**3
# The newest index that most drivers take; the number follows the driver, and PyTorch's page tells it.
_TORCH_CUDA = (
    "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126 "
    "(the number follows your driver: https://pytorch.org/get-started/locally/)"
)
_ONNX_CUDA = "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"


def hints(found: Findings) -> tuple[Hint, ...]:
    """All that apply, in the order in which they are worth mending."""
    return (*_packages(found), *_nvidia(found), *_vulkan(found), *_openvino(found), *_half(found), *_resources(found))


def _engine(found: Findings, name: str) -> list[EngineCheck]:
    return [check for check in found.engines if check.engine == name and check.state != "missing"]


def _packages(found: Findings) -> Iterator[Hint]:
    runtimes = [name for name in builds_of("onnxruntime") if found.packages.get(name)]
    if len(runtimes) > 1:
        yield Hint(
            f"{' and '.join(runtimes)} are installed together",
            "they are builds of one library in the same files: the one installed last overwrote the other, and either can break both",
            f"pip uninstall -y {' '.join(runtimes)} && pip install {runtimes[-1]} (the one that you want)",
        )
    for name, version in found.packages.items():
        wanted = None if version is None else too_old(name, version)
        if wanted is not None:
            yield Hint(
                f"{name} {version} is installed; upres asks for {wanted} or newer",
                "what is older was never tried and lacks what upres uses",
                f"pip install --upgrade '{name}>={wanted}'",
            )


def _nvidia(found: Findings) -> Iterator[Hint]:
    cards, system = found.machine.cards, found.machine.system
    if "NVIDIA" not in cards.makers:
        return
    if not cards.nvidia_driver and system.kind == "linux":
        inside = "start the container with its GPU: docker run --gpus all ... (with NVIDIA's container toolkit on the host)"
        outside = "install NVIDIA's driver: on Ubuntu sudo ubuntu-drivers install, on Debian sudo apt install nvidia-driver"
        yield Hint(
            "an NVIDIA card is there, but not its driver", "without it no engine can use the card", inside if system.container else outside
        )
        return
    torch, onnx = _engine(found, "torch"), _engine(found, "onnx")
    build = found.builds.get("torch")
    of_cpu = build is not None and not build["cuda"] and not build["hip"]
    if torch and (of_cpu or (build is None and (torch[0].version or "").endswith("+cpu"))):
        yield Hint(
            f"an NVIDIA card is there, but torch {torch[0].version} is the build for CPUs",
            "--engine torch --device cuda cannot work: pip chose a build without CUDA",
            _TORCH_CUDA,
        )
    elif torch and build is not None and build["cuda"] and not any(check.kind == "cuda" for check in torch):
        yield Hint(
            f"torch is built for CUDA {build['cuda']}, but finds no CUDA device",
            "the driver is older than that CUDA, or the card is hidden (CUDA_VISIBLE_DEVICES, a container without --gpus)",
            f"nvidia-smi shows the newest CUDA that the driver takes; update the driver, or {_TORCH_CUDA}",
        )
    for check in torch:
        if "no kernel image" in check.words:
            yield Hint(
                f"torch {check.version} holds no code for {check.device_name or check.device}",
                "the card is newer (or much older) than this build of torch",
                _TORCH_CUDA,
            )
    runtime = found.builds.get("onnx")
    of_cpu = runtime is not None and "CUDAExecutionProvider" not in runtime["providers"]
    if onnx and (of_cpu or (runtime is None and found.packages.get("onnxruntime-gpu") is None)):
        yield Hint("an NVIDIA card is there, but this onnxruntime has no CUDA provider", "--engine onnx runs on the CPU", _ONNX_CUDA)


def _vulkan(found: Findings) -> Iterator[Hint]:
    cards = found.machine.cards
    if cards.locked:
        yield Hint(
            f"{', '.join(cards.locked)} may not be opened by this user",
            "Vulkan and OpenVINO then do not see the graphics card",
            "sudo usermod -aG render $USER, then log out and in again",
        )
    vulkan = [check for check in _engine(found, "ncnn") if check.kind.startswith("vulkan")]
    maker = " and ".join(dict.fromkeys(cards.makers))
    if maker and vulkan and all(check.state == "absent" for check in vulkan):
        yield Hint(
            f"a graphics card ({maker}) is there, but no Vulkan driver for it",
            "--engine ncnn --device vulkan is the GPU engine for cards of every maker",
            "sudo apt install libvulkan1 mesa-vulkan-drivers (AMD, Intel), or the driver of the card's maker (NVIDIA)"
            if found.machine.system.kind == "linux"
            else "install the newest driver of the card's maker",
        )
    found_kinds = {check.kind for check in vulkan if check.state != "absent"}
    if found_kinds == {"vulkan-software"}:
        yield Hint(
            f"the only Vulkan device is a driver in software ({vulkan[0].device_name})",
            "it computes on the CPU and is slower than --device cpu: it is of use for tests only",
            f"for the {maker} card install its Vulkan driver: sudo apt install mesa-vulkan-drivers (AMD, Intel), or NVIDIA's own"
            if maker
            else "nothing to do: --engine auto and --device auto leave it alone",
        )


def _openvino(found: Findings) -> Iterator[Hint]:
    checks = _engine(found, "openvino")
    ran = [check for check in checks if check.state != "not-run"]
    if "Intel" in found.machine.cards.makers and ran and not any(check.kind == "gpu" for check in ran):
        yield Hint(
            "an Intel GPU is there, but OpenVINO does not see it",
            "it needs Intel's OpenCL driver beside the one for screens",
            "sudo apt install intel-opencl-icd" if found.machine.system.kind == "linux" else "install the newest graphics driver of Intel",
        )


def _half(found: Findings) -> Iterator[Hint]:
    """fp16 that comes out black, green or coarse, as on some older cards."""
    for check in found.engines:
        wrong = [run for run in check.runs if run.precision != "fp32" and not run.right]
        if check.state == "ok" and wrong:
            yield Hint(
                f"{check.engine} on {check.device} computes {wrong[0].precision} wrongly",
                "pictures would come out black or coarse in half precision; --precision auto finds out and keeps to fp32 there",
                "leave --precision at auto, or say --precision fp32; a newer driver may mend it",
            )


def _resources(found: Findings) -> Iterator[Hint]:
    memory, processor, cache = found.machine.memory, found.machine.processor, found.machine.cache
    if memory.available < _LITTLE_MEMORY:
        limited = memory.limit is not None and memory.limit < 2 * _LITTLE_MEMORY
        yield Hint(
            f"only {words_for_bytes(memory.available)} of memory are free",
            "pictures are then cut into small tiles, which is slower, and large networks may not run",
            "give the container more memory" if limited else "close other programs",
        )
    if processor.quota is not None and processor.quota < processor.cores:
        threads = max(1, round(processor.quota))
        yield Hint(
            f"this container has the time of {processor.quota:g} cores, but sees {processor.cores}",
            "a thread for each that it sees makes them wait for each other",
            f"upres upscale --threads {threads}",
        )
    if cache.problem is not None:
        yield Hint(
            f"the cache folder {cache.path} cannot be written: {cache.problem}",
            "models cannot be downloaded or added, and what --engine auto measures is forgotten",
            "make it writable, or set UPRES_CACHE to a folder that is",
        )
    elif cache.disk_free < _LITTLE_DISK:
        yield Hint(
            f"only {words_for_bytes(cache.disk_free)} are free on the disk of {cache.path}",
            "downloads of models (2 to 70 MB each) and results may not fit",
            "make room, or set UPRES_CACHE to a folder on another disk",
        )
