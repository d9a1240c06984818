"""What the doctor knows beforehand: where this project ran each engine, and the remedy for an import that fails."""

from __future__ import annotations

import re

from upres.system.hardware import Machine
from upres.system.packages import ENGINES, builds_of, lowest_version, version_of

UNTESTED = "untested: never run by this project"
_KINDS = {
    "ncnn": "cpu vulkan-software vulkan",
    "torch": "cpu cuda rocm mps xpu",
    "onnx": "cpu cuda tensorrt directml coreml rocm migraphx openvino",
    "openvino": "cpu gpu npu",
    "spandrel": "cpu",
}
_RUN = {(engine, "cpu"): "every change: tests/engines/test_engines.py" for engine in ("ncnn", "torch", "onnx")} | {
    ("openvino", "cpu"): "every change: tests/doctor/test_probe.py",
    ("ncnn", "vulkan-software"): "every change, where a Vulkan driver is: tests/doctor/test_probe.py (Mesa's llvmpipe)",
}
TESTED = {(engine, k): _RUN.get((engine, k), UNTESTED) for engine, kinds in _KINDS.items() for k in kinds.split()}
_SYSTEM, _PYTHON = ("linux", "x86_64"), ("CPython", "3.11")  # on which the tests run

REINSTALL = {
    "numpy": "pip install --force-reinstall numpy",
    "pyvips": "pip install --force-reinstall 'pyvips[binary]'",
    "upres": "reinstall upres from its source (pip install --force-reinstall --no-deps SOURCE)",
}
_DEBIAN = {  # packages of Debian and Ubuntu for libraries that small containers lack
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libvulkan.so.1": "libvulkan1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libvips.so.42": "libvips42",
}
_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError", "OSError", "AttributeError", "SyntaxError")


def untested(machine: Machine) -> tuple[str, ...]:
    """What no test of this project ever ran: of this machine, then engines and devices ("torch cuda")."""
    python = (machine.python.implementation, machine.python.version.rpartition(".")[0])
    system = (machine.system.kind, machine.system.machine)
    here = [f"this system: {' on '.join(system)}"] if system != _SYSTEM else []
    here += [f"this Python: {' '.join(python)}"] if python != _PYTHON else []
    return (*here, *(f"{engine} {kind}" for (engine, kind), where in TESTED.items() if where == UNTESTED))


def mend(module: str, reason: str) -> str | None:
    """The remedy where importing an engine, numpy or pyvips failed for that reason; None if it is no failed import."""
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", reason)
    if missing:
        package = _DEBIAN.get(missing[1])
        return f"sudo apt install {package}" if package else f"install the system package that provides {missing[1]}"
    if "DLL load failed" in reason:
        return "install the Microsoft Visual C++ runtime: https://aka.ms/vs/17/release/vc_redist.x64.exe"
    if not reason.startswith(_IMPORT_ERRORS):
        return None
    builds = builds_of(ENGINES[module][0]) if module in ENGINES else ()
    installed = next((name for name in builds if version_of(name)), module)
    return REINSTALL.get(module) or f"pip install --force-reinstall {installed}"


def too_old(package: str, version: str) -> str | None:
    """The lowest version that upres requires if `version` is older; else None, also for no version (a local build)."""
    from packaging.version import InvalidVersion, Version

    lowest = lowest_version(package)
    try:
        return lowest if lowest is not None and Version(version) < Version(lowest) else None
    except InvalidVersion:
        return None
