"""One thing tried, in a process of its own: `core`, or `ENGINE [DEVICE]`. What it breaks, it breaks here.

It answers after each step (`system.child.tell`), so that the reader knows how far it came. A step that raises ends the
process with a traceback, whose last line says why; a driver that crashes ends it with a signal. The top imports only
the standard library, so that the first step can fail like any other.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upres.errors import EngineError, UpresError
from upres.system.child import tell
from upres.system.packages import ENGINES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from upres.engines.runner import Precision

_SIDE_PX = 32
# Far above what a correct engine differs by on this network (1e-6 in float32; 1e-3 in float16 and with TensorFloat-32,
# which some providers cannot be kept from), far below what an eye sees or a bug causes.
_CPU_TOLERANCE = 1e-4
_TOLERANCES = {"fp32": 2e-3, "fp16": 4e-3, "bf16": 3e-2}
_GIF = bytes.fromhex("47494638376101000100800000ff0000ffffff2c00000000010001000002024401003b")  # one red pixel


def main(arguments: list[str]) -> None:
    """Try what the arguments name. Errors leave this process as they come."""
    if arguments == ["core"]:
        _core()
    elif len(arguments) == 1:  # the CPU, then which other devices there are: last, for it may wake a bad driver
        _run(arguments[0], "cpu", "fp32")
        from upres.engines.registry import present_devices

        library: Any = sys.modules[ENGINES[arguments[0]][0]]  # as the run on the CPU has imported it
        if arguments[0] == "torch":
            tell(step="build", cuda=library.version.cuda, hip=library.version.hip)
        if arguments[0] == "onnx":
            tell(step="build", providers=library.get_available_providers())
        devices, reason = present_devices(arguments[0])
        tell(step="devices", devices=devices, reason=reason)
    else:
        engine, device = arguments
        _run(engine, device, "fp32")
        _run(engine, device, "fp16")  # last: an engine or a device without it raises an error here


def _core() -> None:
    """numpy, the codecs, the bundled models, and where the measured choices lie."""
    numpy: Any = import_module("numpy")
    tell(step="numpy", version=numpy.__version__)
    vips: Any = import_module("pyvips")  # before `images/` does, for the error itself
    writes, only_read, faults = _formats()
    libvips = ".".join(str(vips.version(part)) for part in range(3))
    tell(step="codecs", libvips=libvips, reads=sorted(writes + only_read), writes=writes, faults=faults)
    from upres.models.catalog import MODELS
    from upres.models.load import load_model

    faults = filter(None, (_fault_of(lambda name=name: load_model(name)) for name in MODELS))
    tell(step="models", count=len(MODELS), damaged=list(faults))
    from upres.engines.autotune.cache import choices_file, read_choices

    tell(step="choices", path=str(choices_file()), count=len(read_choices()))


def _fault_of(work: Callable[[], object]) -> str:
    """The message of an error of upres that `work` raises; "" if there is none."""
    try:
        work()
    except UpresError as error:
        return str(error)
    return ""


def _formats() -> tuple[list[str], list[str], list[str]]:
    """(formats in which a picture is written and read back, formats that are only read, what is wrong with others)."""
    from upres.engines.sample_picture import sample
    from upres.images.io import CORE_SUFFIXES, Picture, encode_picture, read_picture

    pixels = sample(3, _SIDE_PX, _SIDE_PX)[0].transpose(1, 2, 0).copy()

    def round_trip(name: str) -> None:
        again = read_picture(encode_picture(Picture(pixels), name, quality=None)).pixels
        levels = 255 * float(abs(again - pixels).mean())
        if not levels < 8:  # lossy formats differ by one or two
            raise UpresError(f"a picture that is written and read back differs by {levels:.0f} levels on average")

    faults = {name: _fault_of(lambda name=name: round_trip(name)) for name in sorted(set(CORE_SUFFIXES.values()))}
    only_read = [] if _fault_of(lambda: read_picture(_GIF)) else ["gif"]
    wrong = [f"{name}: {fault}" for name, fault in faults.items() if fault]
    return [name for name, fault in faults.items() if not fault], only_read, wrong


def _run(engine: str, device: str, precision: Precision) -> None:
    """A tiny network, opened as every network is, and compared with numpy."""
    import_module(ENGINES[engine][0])  # for the error itself
    given_up: str | None = None
    from upres.engines.sample_network import network

    if engine == "spandrel":
        from upres.engines.opaque.spandrel import SpandrelProgram
        from upres.weights.safetensors import write_safetensors

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tiny.safetensors"
            write_safetensors(path, network(), {})
            runner = SpandrelProgram(path, threads=1)
    else:
        from upres.engines import load
        from upres.engines.options import EngineOptions
        from upres.graph.architectures import graph_from_state_dict

        runner = load(graph_from_state_dict(network()), EngineOptions(engine, device, precision, threads=1))
        if runner.device.partition(":")[0] != device.partition(":")[0]:
            raise EngineError(f"asked for {device}, but it ran on {runner.device}")
        if runner.precision != precision:  # `load` tried it, and the result was wrong
            given_up = "; ".join(runner.notes)
    tell(step="ready", device=device, version=runner.name)
    if given_up is None:
        _compare(runner, device, precision)
    else:
        wrong = {"right": False, "difference": None, "seconds": 0.0, "words": given_up}
        tell(step="run", device=device, precision=precision, **wrong)
    runner.close()


def _compare(run: Callable[[NDArray[np.float32]], NDArray[np.float32]], device: str, precision: Precision) -> None:
    from upres.engines.sample_network import result_of
    from upres.engines.sample_picture import sample

    lr = sample(3, _SIDE_PX, _SIDE_PX)
    started = time.monotonic()
    found = run(lr)
    seconds = round(time.monotonic() - started, 3)
    expected = result_of(lr)
    difference = float(abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    right = difference <= (_CPU_TOLERANCE if device == "cpu" else _TOLERANCES[precision])  # False for nan
    worst = round(difference, 9) if difference < float("inf") else None
    tell(step="run", device=device, precision=precision, right=right, difference=worst, seconds=seconds, words="")
