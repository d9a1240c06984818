"""What the doctor knows beforehand: where this project ran each engine, and which versions are too old."""

from __future__ import annotations

from upres.system.hardware import Machine

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


def untested(machine: Machine) -> tuple[str, ...]:
    """What no test of this project ever ran: of this machine, then engines and devices ("torch cuda")."""
    python = (machine.python.implementation, machine.python.version.rpartition(".")[0])
    system = (machine.system.kind, machine.system.machine)
    here = [f"this system: {' on '.join(system)}"] if system != _SYSTEM else []
    here += [f"this Python: {' '.join(python)}"] if python != _PYTHON else []
    return (*here, *(f"{engine} {kind}" for (engine, kind), where in TESTED.items() if where == UNTESTED))
