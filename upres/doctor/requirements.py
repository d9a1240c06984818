"""What `upres doctor` knows beforehand: where this project ever ran an engine, and the remedy for an import that fails."""

from __future__ import annotations

import re

from upres.system.packages import ENGINES, builds_of, lowest_version, version_of

UNTESTED = "untested: never run by this project"


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
_EVERY_CHANGE = "every change: tests/engines/test_engines.py"
TESTED: dict[tuple[str, str], str] = {
    ("ncnn", "cpu"): _EVERY_CHANGE,
    ("ncnn", "vulkan-software"): "every change, where a Vulkan driver is: tests/doctor/test_probe.py (Mesa's llvmpipe)",
    ("ncnn", "vulkan"): UNTESTED,
    ("torch", "cpu"): _EVERY_CHANGE,
    **{("torch", kind): UNTESTED for kind in ("cuda", "rocm", "mps", "xpu")},
    ("onnx", "cpu"): _EVERY_CHANGE,
    **{("onnx", kind): UNTESTED for kind in ("cuda", "tensorrt", "directml", "coreml", "rocm", "migraphx", "openvino")},
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
    package = next((name for name in builds_of(ENGINES[module][0]) if version_of(name)), module) if module in ENGINES else module
    return CORE.get(module) or f"pip install --force-reinstall {package}"


def too_old(package: str, version: str) -> str | None:
    """The lowest version that upres asks for, where `version` is below it; None where it is not, or cannot be told (a local build)."""
    from packaging.version import InvalidVersion, Version

    lowest = lowest_version(package)
    try:
        return lowest if lowest is not None and Version(version) < Version(lowest) else None
    except InvalidVersion:
        return None
