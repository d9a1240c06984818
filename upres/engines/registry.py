"""A graph opened by one engine on one device: the table of what each engine knows, and the way to its class."""

from __future__ import annotations

from collections.abc import Callable

from upres.engines.runner import Precision, Runner, device_bytes_of
from upres.engines.split_runner import TailRunner
from upres.errors import EngineError, UsageError, nearest
from upres.graph.graph import Graph
from upres.graph.nodes import Array
from upres.system.packages import install_command, missing_modules

# Devices by engine; ":N" behind those that are NUMBERED picks one of several.
DEVICES: dict[str, tuple[str, ...]] = {
    "ncnn": ("cpu", "vulkan"),
    "torch": ("cpu", "cuda", "mps", "xpu"),
    "onnx": ("cpu", "cuda", "tensorrt", "rocm", "migraphx", "directml", "coreml", "openvino"),
    "openvino": ("cpu", "gpu", "npu"),
}
_OTHER_GPUS = (  # "gpu" is OpenVINO's name for what Intel makes
    "; a GPU of another maker is device cuda (NVIDIA: torch, onnx), vulkan (any: ncnn), mps (Apple: torch) or directml (Windows: onnx)"
)
NUMBERED = ("cuda", "xpu", "vulkan", "tensorrt", "rocm", "migraphx", "directml", "gpu")


def engines_with(device: str) -> tuple[str, ...]:
    """Names of the engines that know `device` ("cuda:1" too). Raises UsageError where none does."""
    name, colon, number = device.partition(":")
    if colon and (name not in NUMBERED or not number.isdecimal()):
        numbered = ", ".join(f"{known}:N" for known in NUMBERED)
        raise UsageError(f"`device={device!r}`: a number (N from 0) goes with {numbered} only")
    found = tuple(engine for engine, devices in DEVICES.items() if name in devices)
    if not found:
        every = dict.fromkeys(known for devices in DEVICES.values() for known in devices)
        raise UsageError(f"`device` must be auto or one of {', '.join(every)}; got {device!r}{nearest(device, every)}")
    return found


def check_device(engine: str, device: str) -> None:
    """Raises UsageError where `engine` does not know `device`, with the engine that does."""
    if device == "auto":
        return
    able = engines_with(device)
    if engine not in able:
        raise UsageError(
            f"engine {engine!r} has no device {device!r}: it runs on {', '.join(DEVICES[engine])}; "
            f"`device={device!r}` goes with `engine` {' or '.join(able)}{_OTHER_GPUS if device.partition(':')[0] == 'gpu' else ''}"
        )


def check_installed(engine: str, device: str) -> None:
    """Raises EngineError, with the remedy, where the named engine is not installed, or none that has the named device."""
    able = (engine,) if engine != "auto" else () if device in ("auto", "cpu") else engines_with(device)
    if able and all(missing_modules(name) for name in able):
        named = f"engine {engine!r}" if engine != "auto" else f"device {device!r} needs engine {' or '.join(able)}, which"
        remedy = " or ".join(map(install_command, able))
        raise EngineError(f"{named} is not installed: {remedy}{_OTHER_GPUS if device.partition(':')[0] == 'gpu' else ''}")


def open_graph(graph: Graph, *, engine: str, threads: int, exact: bool, device: str, precision: Precision) -> Runner:
    """The graph simplified, and in two parts where that saves memory, in the class of that engine.

    Raises UsageError for a device that the engine does not know, EngineError where the engine is not installed, or cannot have the device,
    the precision or the graph.
    """
    check_device(engine, device)
    make = _class_of(engine)

    def part(graph: Graph) -> Runner:
        return make(graph, threads=threads, exact=exact, device=device, precision=precision)

    simple = graph.simplify()
    parts = simple.split_at_tail()
    if parts is None or parts[1].activation_bytes_per_pixel <= parts[0].activation_bytes_per_pixel:
        return part(simple)
    return TailRunner(simple, *parts, part)


def _class_of(engine: str) -> Callable[..., Runner]:
    """The import is what costs, and what fails (EngineError, with the remedy) where the engine is not installed."""
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


class NotedRunner:
    """A runner with more notes than it made itself. See `Runner`."""

    def __init__(self, runner: Runner, notes: tuple[str, ...]) -> None:
        self._runner = runner
        self.name, self.device = runner.name, runner.device
        self.precision: Precision = runner.precision
        self.notes = (*runner.notes, *notes)
        self.memory_factor, self.grid_px = runner.memory_factor, runner.grid_px

    def device_bytes(self) -> int | None:
        """See `runner.device_bytes_of`."""
        return device_bytes_of(self._runner)

    def __call__(self, lr: Array) -> Array:
        return self._runner(lr)

    def close(self) -> None:
        """Close the runner."""
        self._runner.close()
