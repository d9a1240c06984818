"""Half precision only where it agrees: an engine that keeps its values in 16 bits is compared with float32 before it may work.

Two tiles run through it and through ncnn's float32 on the CPU: a piece of a photograph, and one of extremes (black, white, a
checkerboard, a ramp), where values overflow and black squares come from. What disagrees runs in float32, and a note says so.
Nothing is remembered: the answer depends on the weights, and the tiles are small.

Measured in levels of 255, at most / on average, over six compact networks, the four of the house among them:

    fp16, sums in float32 (torch)       photograph 0.3 to 0.9 / 0.03          extremes 0.5 to 4.8 / 0.02 to 0.08
    fp16, sums in fp16 (ncnn, Vulkan)   photograph 1.4 to 5.8 / 0.06 to 0.18  extremes 2.5 to 24 / 0.07 to 0.34
    bf16, sums in float32 (torch)       photograph 3.3 to 7.8 / 0.19 to 0.28  extremes 6.3 to 66 / 0.19 to 1.2

A network answers a checkerboard of single pixels with a pattern of its own, which the last bit moves about; so the second tile is only to
show that nothing overflows. fp16 passed with all six, bf16 (8 bits of a value, where fp16 has 11) with two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from upres.engines.options import EngineOptions
from upres.engines.registry import NotedRunner, open_graph
from upres.engines.runner import Precision, Runner
from upres.engines.sample_picture import sample
from upres.errors import EngineError, UsageError
from upres.graph.graph import Graph
from upres.graph.nodes import Array

LIMITS = {  # in [0, 1]: of any value, and on average
    "photograph": (8.0 / 255.0, 0.25 / 255.0),  # 99.9 % of fp16's values were off by 2 levels at most; no color is shifted by what shows
    "extremes": (32.0 / 255.0, 0.5 / 255.0),
}
_SIDE_PX, _SMALL_SIDE_PX = 64, 32
_DEEP_MACS = 5e6  # a pixel; RRDB takes the smaller tile, which costs a second as it is

Open = Callable[..., Runner]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the comparison came to: `failed` is "" where the two may stand for each other, else what is wrong with which tile. `errors` are
    (largest, mean) by tile, in [0, 1], after the clipping that every written picture gets."""

    errors: dict[str, tuple[float, float]]
    failed: str = ""


def open_checked(graph: Graph, options: EngineOptions, *, open_runner: Open = open_graph) -> Runner:
    """`open_graph` with the engine and the device of `options`, in half precision only where that agrees with float32.

    precision "auto" is float32 on CPUs and "fp16" on GPUs that have it; "fp16" and "bf16" are put to the same test. A runner that
    disagrees is opened again in float32, with a note; where the GPU is wrong even then, an EngineError says so. Raises what `open_graph`
    raises. `open_runner` replaces it in tests.
    """
    engine, device, precision = options.engine, options.device, options.precision

    def opened(kept: Precision) -> Runner:
        return open_runner(graph, engine=engine, threads=options.threads, exact=options.exact, device=device, precision=kept)

    if precision == "fp32" or (precision == "auto" and _is_cpu(engine, device)):
        return opened("fp32")
    try:
        half = opened("bf16" if precision == "bf16" else "fp16")
    except (EngineError, UsageError):
        if precision != "auto":
            raise
        return opened("fp32")  # nobody asked for half precision, and this engine or device has none
    if precision == "auto" and half.device == "cpu":
        half.close()
        return opened("fp32")
    reference = open_runner(graph, engine="ncnn", threads=options.threads, exact=True, device="cpu", precision="fp32")
    try:
        found = compare(half, reference, graph)
        if not found.failed:
            return half
        half.close()
        runner = opened("fp32")
        if runner.device != "cpu":
            again = compare(runner, reference, graph)
            if again.failed:
                runner.close()
                raise EngineError(
                    f"{runner.name} gives wrong pictures on {runner.device}, in float32 too: {again.failed}; "
                    "update the driver, or use `device='cpu'`"
                )
    finally:
        reference.close()
    note = f"{half.precision} of {half.name} on {half.device} is not used for this model, float32 is: {found.failed}"
    return NotedRunner(runner, (note,))


def _is_cpu(engine: str, device: str) -> bool:
    """torch alone looks for a GPU by itself."""
    return device == "cpu" or (device == "auto" and engine != "torch")


def compare(runner: Runner, reference: Runner, graph: Graph) -> Agreement:
    """Both on the same tiles. A runner that raises an EngineError disagrees; the reference may not raise one."""
    errors: dict[str, tuple[float, float]] = {}
    for name, tile in tiles(graph).items():
        expected = np.clip(reference(tile), 0.0, 1.0)
        try:
            found = runner(tile)
        except EngineError as error:
            return Agreement(errors, str(error))
        if not np.isfinite(found).all():
            return Agreement(errors, "it gives values that are not finite")
        difference = np.abs(np.clip(found, 0.0, 1.0) - expected, dtype=np.float64)
        most, mean = errors[name] = float(difference.max()), float(difference.mean())
        if most > LIMITS[name][0] or mean > LIMITS[name][1]:
            allowed = " and ".join(f"{limit * 255:.2g}" for limit in LIMITS[name])
            figures = f"{most * 255:.2g} levels of 255 at most and {mean * 255:.2g} on average, where {allowed} are allowed"
            return Agreement(errors, f"on a test tile ({name}) it differs from float32 by {figures}")
    return Agreement(errors)


def tiles(graph: Graph) -> dict[str, Array]:
    """By the names of `LIMITS`, each (1, c, side, side)."""
    side = _SMALL_SIDE_PX if graph.macs_per_pixel > _DEEP_MACS else _SIDE_PX
    side = -(-side // graph.alignment) * graph.alignment
    photograph = sample(3, side, side)[:, [channel % 3 for channel in range(graph.in_channels)]]
    y, x = np.arange(side)[:, None], np.arange(side)[None]
    half = side // 2
    checkered, ramp = (y + x) % 2, x / max(1, side - 1)
    extremes = np.where(y < half, np.where(x < half, 0.0, 1.0), np.where(x < half, checkered, ramp)).astype(np.float32)
    return {"photograph": np.ascontiguousarray(photograph), "extremes": np.broadcast_to(extremes, photograph.shape).copy()}
