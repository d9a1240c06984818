"""One thing tried, in a process of its own: `core`, or `ENGINE [DEVICE]`. What it breaks, it breaks here.

It answers after each step (`system.child.tell`): whoever reads the answers knows how far it came.
A step that raises ends the process with a traceback, whose last line says why; a driver that crashes ends it with a signal.
At the top only the standard library is imported, so that the first step can fail like any other.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upres.errors import EngineError, UpresError
from upres.system.child import tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from upres.engines.runner import Precision

_SIDE_PX = 32
# Far above what any right engine differs by on this network (float32 1e-6; with TensorFloat-32, which some providers cannot be kept from,
# and float16 1e-3), far below what an eye sees or a bug makes.
_CPU_TOLERANCE = 1e-4
_TOLERANCES = {"fp32": 2e-3, "fp16": 4e-3, "bf16": 3e-2}
_GIF = bytes.fromhex("47494638376101000100800000ff0000ffffff2c00000000010001000002024401003b")  # one red pixel


def main(arguments: list[str]) -> None:
    """Try what the arguments name. Whatever goes wrong leaves this process as it comes."""
    if arguments == ["core"]:
        _core()
    elif len(arguments) == 1:
        _engine(arguments[0])
    else:
        _device(*arguments)


def _core() -> None:
    """numpy, the house models, the codecs, and where the measured choices lie."""
    import numpy

    tell(step="numpy", version=numpy.__version__)
    writes, faults = _formats()
    vips: Any = sys.modules["pyvips"]  # as `images/` has imported it
    reads = sorted({*writes, *(["gif"] if _reads_gif() else [])})
    tell(step="codecs", libvips=".".join(str(vips.version(part)) for part in range(3)), reads=reads, writes=writes, faults=faults)
    from upres.models.catalog import MODELS
    from upres.models.load import load_model

    damaged: list[str] = []
    for name in MODELS:
        try:
            load_model(name)
        except UpresError as error:
            damaged.append(str(error))
    tell(step="models", count=len(MODELS), damaged=damaged)
    from upres.engines.autotune.cache import choices_file, read_choices

    tell(step="choices", path=str(choices_file()), count=len(read_choices()))


def _formats() -> tuple[list[str], list[str]]:
    """(formats that are written and read again as they were, what went wrong with the others)."""
    import numpy as np

    from upres.engines.sample_picture import sample
    from upres.images.io import WRITABLE_FORMATS, Picture, encode_picture, read_picture

    pixels = np.ascontiguousarray(sample(3, 16, 16)[0].transpose(1, 2, 0))
    good: list[str] = []
    faults: list[str] = []
    for form in sorted(set(WRITABLE_FORMATS.values())):
        try:
            again = read_picture(encode_picture(Picture(pixels), form, quality=None))
        except UpresError as error:
            faults.append(f"{form}: {error}")
            continue
        difference = float(np.abs(again.pixels - pixels).mean())
        if difference < 0.03:  # lossy formats differ by a level or two in the mean
            good.append(form)
        else:
            faults.append(f"{form}: a picture that is written and read again differs by {255 * difference:.0f} levels in the mean")
    return good, faults


def _reads_gif() -> bool:
    from upres.images.io import read_picture

    try:
        return read_picture(_GIF).pixels.shape[:2] == (1, 1)
    except UpresError:
        return False


def _engine(engine: str) -> None:
    """Version, a run on the CPU, then the other devices that its library finds: the last, for it may wake a bad driver."""
    if engine == "spandrel":
        _spandrel()
        return
    _run(engine, "cpu", "fp32")
    if engine == "ncnn":
        from upres.engines.ncnn.devices import vulkan_devices

        found, reason = vulkan_devices()
        devices = [(f"vulkan:{one.index}", "vulkan-software" if one.kind == "cpu" else "vulkan", one.name) for one in found]
        tell(step="devices", devices=devices, reason=reason)
    elif engine == "torch":
        torch: Any = sys.modules["torch"]
        tell(step="build", cuda=torch.version.cuda, hip=torch.version.hip)
        kind = "rocm" if torch.version.hip else "cuda"
        devices = [(f"cuda:{index}", kind, torch.cuda.get_device_name(index)) for index in range(torch.cuda.device_count())]
        devices += [("mps", "mps", "Apple GPU")] if torch.backends.mps.is_available() else []
        devices += [(f"xpu:{index}", "xpu", torch.xpu.get_device_name(index)) for index in range(torch.xpu.device_count())]
        tell(step="devices", devices=devices, reason="")
    elif engine == "onnx":
        providers: list[str] = sys.modules["onnxruntime"].get_available_providers()
        tell(step="build", providers=providers)
        devices = [(device, device, provider) for provider, device in _PROVIDERS.items() if provider in providers]
        tell(step="devices", devices=devices, reason="")
    elif engine == "openvino":
        core: Any = sys.modules["openvino"].Core()
        names = [name for name in core.available_devices if name != "CPU"]
        devices = [(_device_of(name), _device_of(name).partition(":")[0], core.get_property(name, "FULL_DEVICE_NAME")) for name in names]
        tell(step="devices", devices=devices, reason="")


def _device_of(name: str) -> str:
    """OpenVINO's "GPU.1" as ours: "gpu:1"."""
    return name.lower().replace(".", ":")


_PROVIDERS = {
    "CUDAExecutionProvider": "cuda",
    "TensorrtExecutionProvider": "tensorrt",
    "ROCMExecutionProvider": "rocm",
    "MIGraphXExecutionProvider": "migraphx",
    "DmlExecutionProvider": "directml",
    "CoreMLExecutionProvider": "coreml",
    "OpenVINOExecutionProvider": "openvino",
}


def _device(engine: str, device: str) -> None:
    _run(engine, device, "fp32")
    _run(engine, device, "fp16")  # last: an engine or a device that has none raises an error here


def _run(engine: str, device: str, precision: Precision) -> None:
    """A tiny network through the one door to all engines, compared with numpy."""
    from upres.engines import load
    from upres.engines.options import EngineOptions
    from upres.graph.architectures import graph_from_state_dict

    runner = load(graph_from_state_dict(tiny_state()), EngineOptions(engine, device, precision, threads=1))
    if runner.device.partition(":")[0] != device.partition(":")[0]:
        raise EngineError(f"asked for {device}, it ran on {runner.device}")
    tell(step="ready", device=device, version=runner.name)
    if runner.precision == precision:
        _compare(runner, device, precision)
    else:  # the door tried it and found it wrong
        tell(step="run", device=device, precision=precision, right=False, difference=None, seconds=0.0, words="; ".join(runner.notes))
    runner.close()


def _spandrel() -> None:
    from upres.engines.opaque.spandrel import SpandrelProgram
    from upres.weights.safetensors import write_safetensors

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.safetensors"
        write_safetensors(path, tiny_state(), {})
        program = SpandrelProgram(path, threads=1)
    tell(step="ready", device="cpu", version=program.name)
    _compare(program, "cpu", "fp32")
    program.close()
    tell(step="devices", devices=[], reason="")


def _compare(run: Callable[[NDArray[np.float32]], NDArray[np.float32]], device: str, precision: Precision) -> None:
    lr = _picture()
    started = time.monotonic()
    found = run(lr)
    seconds = time.monotonic() - started
    expected = tiny_result(lr)
    difference = float(abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    right = difference <= (_CPU_TOLERANCE if device == "cpu" else _TOLERANCES[precision])  # False for nan
    worst = round(difference, 9) if difference < float("inf") else None
    tell(step="run", device=device, precision=precision, right=right, difference=worst, seconds=round(seconds, 3), words="")


def _picture() -> NDArray[np.float32]:
    from upres.engines.sample_picture import sample

    return sample(3, _SIDE_PX, _SIDE_PX)


def tiny_state() -> dict[str, NDArray[np.float32]]:
    """A compact network of 8 features and scale 2, always the same: weights from a sine, as no generator is the same for ever."""
    import numpy as np

    state: dict[str, NDArray[np.float32]] = {}
    for index, (taken, given) in enumerate(((3, 8), (8, 8), (8, 12))):
        count = given * taken * 9
        weight = np.sin(np.arange(count) * 1.7 + index) * (1.2 / np.sqrt(9 * taken))
        state[f"body.{2 * index}.weight"] = weight.reshape(given, taken, 3, 3).astype(np.float32)
        state[f"body.{2 * index}.bias"] = (0.1 * np.cos(np.arange(given) + index)).astype(np.float32)
        if index < 2:
            state[f"body.{2 * index + 1}.weight"] = np.linspace(0.05, 0.3, given, dtype=np.float32)
    return state


def tiny_result(lr: NDArray[np.float32]) -> NDArray[np.float64]:
    """(1, 3, h, w) to (1, 3, 2h, 2w): what that network makes of a picture, by numpy alone and in float64: convolution as nine shifts."""
    import numpy as np

    state = tiny_state()
    height, width = lr.shape[2:]
    x = lr[0].astype(np.float64)
    for index in range(3):
        weight, padded = state[f"body.{2 * index}.weight"].astype(np.float64), np.pad(x, ((0, 0), (1, 1), (1, 1)))
        x = np.zeros((len(weight), height, width)) + state[f"body.{2 * index}.bias"].astype(np.float64)[:, None, None]
        for dy, dx in np.ndindex(3, 3):
            x += np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width])
        if index < 2:
            x = np.where(x > 0, x, x * state[f"body.{2 * index + 1}.weight"].astype(np.float64)[:, None, None])
    shuffled = x.reshape(3, 2, 2, height, width).transpose(0, 3, 1, 4, 2).reshape(3, 2 * height, 2 * width)
    return (shuffled + lr[0].repeat(2, axis=1).repeat(2, axis=2))[None]
