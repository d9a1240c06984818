"""What `upres doctor` knows beforehand: what each engine is made of, how to get it, and where this project ever ran it. Literals only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

UNTESTED = "untested: never run by this project"


@dataclass(frozen=True, slots=True)
class Library:
    """What an engine is made of. `modules` are what Python imports, `packages` the names under which pip may have brought the first."""

    modules: tuple[str, ...]
    packages: tuple[str, ...]
    remedy: str


LIBRARIES: dict[str, Library] = {
    "ncnn": Library(("ncnn",), ("ncnn",), "pip install --force-reinstall ncnn"),
    "torch": Library(("torch",), ("torch",), "pip install 'upres[torch]'"),
    "onnx": Library(
        ("onnxruntime", "onnx"),
        ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm", "onnxruntime-migraphx"),
        "pip install 'upres[onnx]'",
    ),
    "openvino": Library(("openvino", "onnx"), ("openvino",), "pip install 'upres[openvino]'"),
    "spandrel": Library(("spandrel", "torch"), ("spandrel",), "pip install 'upres[spandrel]'"),
}
# Libraries of the system that small containers lack, and the package of Debian and Ubuntu that has each.
_DEBIAN = {
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libvulkan.so.1": "libvulkan1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libvips.so.42": "libvips42",
}
CORE = {"numpy": "pip install --force-reinstall numpy", "pyvips": "pip install --force-reinstall 'pyvips[binary]'"}

# Where this project runs each engine on each kind of device. What no test ever ran is said to be so: it may well work.
TESTED: dict[tuple[str, str], str] = {
    ("ncnn", "cpu"): "every change: tests/engines/test_engines.py",
    ("ncnn", "vulkan-software"): "every change, where a Vulkan driver is: tests/doctor/test_probe.py (Mesa's llvmpipe)",
    ("ncnn", "vulkan"): UNTESTED,
    ("torch", "cpu"): "every change: tests/engines/test_engines.py",
    ("torch", "cuda"): UNTESTED,
    ("torch", "rocm"): UNTESTED,
    ("torch", "mps"): UNTESTED,
    ("torch", "xpu"): UNTESTED,
    ("onnx", "cpu"): "every change: tests/engines/test_engines.py",
    ("onnx", "cuda"): UNTESTED,
    ("onnx", "tensorrt"): UNTESTED,
    ("onnx", "directml"): UNTESTED,
    ("onnx", "coreml"): UNTESTED,
    ("onnx", "rocm"): UNTESTED,
    ("onnx", "migraphx"): UNTESTED,
    ("onnx", "openvino"): UNTESTED,
    ("openvino", "cpu"): "every change: tests/doctor/test_probe.py",
    ("openvino", "gpu"): UNTESTED,
    ("openvino", "npu"): UNTESTED,
    ("spandrel", "cpu"): UNTESTED,
}
TESTED_SYSTEMS = {"linux": ("x86_64",)}  # with the processors on which the tests run
TESTED_PYTHONS = ("3.11",)


def untested_kinds() -> tuple[str, ...]:
    """Engines and devices that no test ever ran: ("ncnn vulkan", "torch cuda", ...)."""
    return tuple(f"{engine} {kind}" for (engine, kind), where in TESTED.items() if where == UNTESTED)


def installed(module: str) -> bool:
    """Whether Python would find it; nothing is imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent package that is broken, or a module without a spec
        return False


def mend(module: str, reason: str) -> str | None:
    """What to do where importing an engine's library, numpy or pyvips failed with that exception; None where it is no failed import."""
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", reason)
    if missing:
        package = _DEBIAN.get(missing[1])
        return f"sudo apt install {package}" if package else f"install the system's package that has {missing[1]}"
    if "DLL load failed" in reason:
        return "install Microsoft's Visual C++ runtime: https://aka.ms/vs/17/release/vc_redist.x64.exe"
    if not reason.startswith(("ImportError", "ModuleNotFoundError", "OSError", "AttributeError", "SyntaxError")):
        return None
    package = next((name for name in LIBRARIES[module].packages if version_of(name)), module) if module in LIBRARIES else module
    return CORE.get(module) or f"pip install --force-reinstall {package}"


def version_of(package: str) -> str | None:
    """What pip says; None where pip knows nothing of it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def minimum_versions() -> dict[str, str]:
    """{"torch": "2.4", ...}: the least versions that upres asks for, from its own metadata, extras included."""
    least: dict[str, str] = {}
    try:
        wanted = metadata.requires("upres") or []
    except metadata.PackageNotFoundError:
        return {}
    for line in wanted:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*?>=\s*([0-9][0-9.]*)", line)
        if match:
            least[match[1].lower()] = match[2].rstrip(".")
    return least


def older(found: str, least: str) -> bool:
    """Whether version `found` lies below `least`; only numbers count, so 2.4.0+cu121 is 2.4.0 and 2.4rc1 is 2.4."""
    release = re.match(r"\d+(?:\.\d+)*", found)
    if release is None:
        return False
    numbers = [[int(part) for part in text.rstrip(".").split(".")] for text in (release[0], least)]
    longest = max(map(len, numbers))
    first, second = ([*part, *[0] * (longest - len(part))] for part in numbers)
    return first < second
