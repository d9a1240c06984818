"""The devices of each engine, and the class that runs a graph on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from upres.engines.failures import other_gpus
from upres.engines.runner import Precision, Runner, device_bytes_of, fixed_bytes_of, most_rows_of, parallel_of
from upres.engines.segment_runner import SegmentRunner
from upres.engines.split_runner import TailRunner
from upres.errors import EngineError, UsageError, nearest
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.graph.segments import segments
from upres.system.packages import install_command, missing_modules

# Devices by engine; those in NUMBERED take ":N".
DEEP_PX = 64  # of the receptive field: deeper networks run in segments, where that is possible
DEVICES: dict[str, tuple[str, ...]] = {
    "ncnn": ("cpu", "vulkan"),
    "torch": ("cpu", "cuda", "mps", "xpu"),
    "onnx": ("cpu", "cuda", "tensorrt", "rocm", "migraphx", "directml", "coreml", "openvino"),
    "openvino": ("cpu", "gpu", "npu"),
}
NUMBERED = ("cuda", "xpu", "vulkan", "tensorrt", "rocm", "migraphx", "directml", "gpu")


def engines_with(device: str) -> tuple[str, ...]:
    """The engines that support `device`, such as "cuda:1". Raises UsageError if there is none."""
    name, colon, number = device.partition(":")
    if colon and (name not in NUMBERED or not number.isdecimal()):
        numbered = ", ".join(f"{known}:N" for known in NUMBERED)
        raise UsageError(f"`device={device!r}`: only {numbered} take a number, from 0")
    found = tuple(engine for engine, devices in DEVICES.items() if name in devices)
    if not found:
        every = dict.fromkeys(known for devices in DEVICES.values() for known in devices)
        raise UsageError(f"`device` must be auto or one of {', '.join(every)}; got {device!r}{nearest(device, every)}")
    return found


def check_device(engine: str, device: str) -> None:
    """Raises UsageError if `engine` does not support `device`; the message names the engines that do."""
    if device == "auto":
        return
    able = engines_with(device)
    if engine not in able:
        raise UsageError(
            f"engine {engine!r} has no device {device!r}: it runs on {', '.join(DEVICES[engine])}; "
            f"`device={device!r}` needs `engine` {' or '.join(able)}{other_gpus(device)}"
        )


def check_installed(engine: str, device: str) -> None:
    """Raises EngineError, with the remedy, if the engine, or every engine for the device, is not installed."""
    able = (engine,) if engine != "auto" else () if device in ("auto", "cpu") else engines_with(device)
    if able and all(missing_modules(name) for name in able):
        needed = f"device {device!r} needs engine {' or '.join(able)}, which"
        named = f"engine {engine!r}" if engine != "auto" else needed
        remedy = " or ".join(map(install_command, able))
        raise EngineError(f"{named} is not installed: {remedy}{other_gpus(device)}")


def open_graph(graph: Graph, *, engine: str, threads: int, exact: bool, device: str, precision: Precision) -> Runner:
    """Open the simplified graph in one engine, in parts where that saves memory.

    Raises UsageError for a device that the engine does not support, EngineError if the engine is not installed, or
    cannot use the device, the precision or the graph.
    """
    check_device(engine, device)
    make = _class_of(engine)

    def part(graph: Graph) -> Runner:
        return make(graph, threads=threads, exact=exact, device=device, precision=precision)

    simple = graph.simplify()
    if engine == "ncnn" and device in ("auto", "cpu") and simple.receptive_field > DEEP_PX:
        found = segments(simple)
        if len(found) > 1:
            arenas: list[Any] = []  # one segment works at a time
            return SegmentRunner(
                simple, found, lambda of: make(of, threads=threads, exact=exact, precision=precision, arenas=arenas)
            )
    parts = simple.split_at_tail()
    if parts is None or parts[1].activation_bytes_per_pixel <= parts[0].activation_bytes_per_pixel:
        return part(simple)
    return TailRunner(simple, *parts, part)


def _class_of(engine: str) -> Callable[..., Runner]:
    """Imports the engine. Raises EngineError, with the remedy, if it is not installed."""
    if engine == "ncnn":
        from upres.engines.ncnn.runner import NcnnRunner

        return NcnnRunner
    if engine == "torch":
        from upres.engines.torch import TorchRunner

        return TorchRunner
    if engine == "onnx":
        from upres.engines.onnx.runner import OnnxRunner

        return OnnxRunner
    from upres.engines.openvino import OpenVinoRunner

    return OpenVinoRunner


def present_devices(engine: str) -> tuple[list[tuple[str, str, str]], str]:
    """([(device, kind, name)] that the engine finds beside the CPU, why there is none).

    The kind says what hardware or software it is ("vulkan-software", "rocm"). Loads drivers, which may crash or hang.
    """
    if engine == "ncnn":
        from upres.engines.ncnn.devices import present_devices

        return present_devices()
    if engine == "torch":
        from upres.engines.torch import present_devices as present
    elif engine == "onnx":
        from upres.engines.onnx.runner import present_devices as present
    elif engine == "openvino":
        from upres.engines.openvino import present_devices as present
    else:
        return [], ""
    return present(), ""


class NotedRunner:
    """A runner with further notes. See `Runner`."""

    def __init__(self, runner: Runner, notes: tuple[str, ...]) -> None:
        self._runner = runner
        self.name, self.device = runner.name, runner.device
        self.precision: Precision = runner.precision
        self.notes = (*runner.notes, *notes)
        self.memory_factor, self.grid_px = runner.memory_factor, runner.grid_px
        self.fixed_bytes, self.most_rows = fixed_bytes_of(runner), most_rows_of(runner)

    def device_bytes(self) -> int | None:
        """See `runner.device_bytes_of`."""
        return device_bytes_of(self._runner)

    @property
    def parallel_calls(self) -> int:
        """See `runner.parallel_of`."""
        return parallel_of(self._runner)[0]

    def __call__(self, lr: Array) -> Array:
        return self._runner(lr)

    def in_one_thread(self, lr: Array) -> Array:
        """See `runner.parallel_of`."""
        return parallel_of(self._runner)[1](lr)

    def close(self) -> None:
        """Close the runner."""
        self._runner.close()
