"""Use half precision only where it agrees with float32.

Two test tiles run through the engine and through ncnn in float32 on the CPU: part of a photograph, and extremes (black,
white, a checkerboard, a ramp), where activations overflow and black squares appear. On disagreement the engine runs in
float32, with a note. The result is not cached: it depends on the weights, and the tiles are small.

Maximum / mean differences in 8-bit levels over six compact networks, including the four bundled ones:

    fp16, sums in float32 (torch)       photograph 0.3 to 0.9 / 0.03          extremes 0.5 to 4.8 / 0.02 to 0.08
    fp16, sums in fp16 (ncnn, Vulkan)   photograph 1.4 to 5.8 / 0.06 to 0.18  extremes 2.5 to 24 / 0.07 to 0.34
    bf16, sums in float32 (torch)       photograph 3.3 to 7.8 / 0.19 to 0.28  extremes 6.3 to 66 / 0.19 to 1.2

Networks respond to a one-pixel checkerboard with patterns that are sensitive to the last bit, so the second tile only
tests for overflow. fp16 passed with all six networks, bf16 (8 significant bits; fp16 has 11) with two.
"""

from __future__ import annotations

import logging
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

LIMITS = {  # of the maximum and the mean difference, for pixels in [0, 1]
    "photograph": (8.0 / 255.0, 0.25 / 255.0),  # with fp16 99.9 % of values differed by at most 2 levels
    "extremes": (32.0 / 255.0, 0.5 / 255.0),
}
_SIDE_PX, _SMALL_SIDE_PX = 64, 32
_DEEP_MACS = 5e6  # per pixel; from here on, as for RRDB, the smaller tile is used, which takes a second

Open = Callable[..., Runner]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The result of a comparison.

    Args:
        errors: (maximum, mean) difference by tile, of outputs clipped to [0, 1].
        failed: Why the two disagree; "" if they agree.
    """

    errors: dict[str, tuple[float, float]]
    failed: str = ""


def open_checked(graph: Graph, options: EngineOptions, *, open_runner: Open = open_graph) -> Runner:
    """Open a graph with `open_graph`, in half precision only if that agrees with float32, else in float32 with a note.

    Args:
        graph: The network.
        options: The engine and the device to open; precision "auto" is float32 on CPUs, and fp16 on GPUs that have it.
        open_runner: Replaces `open_graph`, for tests.

    Raises:
        EngineError: The GPU computes wrong results in float32 too; or as `open_graph`.
        UsageError: As `open_graph`.
    """
    engine, device, precision = options.engine, options.device, options.precision

    def opened(kept: Precision) -> Runner:
        return open_runner(
            graph, engine=engine, threads=options.threads, exact=options.exact, device=device, precision=kept
        )

    if precision == "fp32" or (precision == "auto" and _is_cpu(engine, device)):
        return opened("fp32")
    try:
        half = opened("bf16" if precision == "bf16" else "fp16")
    except (EngineError, UsageError):
        if precision != "auto":
            raise
        return opened("fp32")  # this engine or device has no half precision
    if precision == "auto" and half.device == "cpu":
        half.close()
        return opened("fp32")
    if half.device == "cpu" and engine == "torch":
        _log.warning(
            "%s on a CPU is emulated by torch where the CPU lacks it: this may take 100 times as long as float32",
            half.precision,
        )
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
                    f"{runner.name} computes wrong results on {runner.device}, in float32 too: {again.failed}; "
                    "update the driver, or use device 'cpu'"
                )
    finally:
        reference.close()
    note = f"{half.precision} of {half.name} on {half.device} was replaced by float32 for this model: {found.failed}"
    return NotedRunner(runner, (note,))


def _is_cpu(engine: str, device: str) -> bool:
    """Whether the engine will run on the CPU: with device "auto" only torch uses a GPU."""
    return device == "cpu" or (device == "auto" and engine != "torch")


def compare(runner: Runner, reference: Runner, graph: Graph) -> Agreement:
    """Compare on the test tiles. An EngineError of `runner` counts as disagreement, one of `reference` is raised."""
    errors: dict[str, tuple[float, float]] = {}
    for name, tile in tiles(graph).items():
        expected = np.clip(reference(tile), 0.0, 1.0)
        try:
            found = runner(tile)
        except EngineError as error:
            return Agreement(errors, str(error))
        if not np.isfinite(found).all():
            return Agreement(errors, "it returns non-finite values")
        difference = np.abs(np.clip(found, 0.0, 1.0) - expected, dtype=np.float64)
        most, mean = errors[name] = float(difference.max()), float(difference.mean())
        if most > LIMITS[name][0] or mean > LIMITS[name][1]:
            allowed = " and ".join(f"{limit * 255:.2g}" for limit in LIMITS[name])
            figures = f"up to {most * 255:.2g} 8-bit levels and {mean * 255:.2g} on average (limits {allowed})"
            return Agreement(errors, f"on a test tile ({name}) it differs from float32 by {figures}")
    return Agreement(errors)


def tiles(graph: Graph) -> dict[str, Array]:
    """The test tiles by the names in `LIMITS`, each float32 (1, c, side, side) in [0, 1]."""
    side = _SMALL_SIDE_PX if graph.macs_per_pixel > _DEEP_MACS else _SIDE_PX
    side = -(-side // graph.alignment) * graph.alignment
    photograph = sample(3, side, side)[:, [channel % 3 for channel in range(graph.in_channels)]]
    y, x = np.arange(side)[:, None], np.arange(side)[None]
    half = side // 2
    checkered, ramp = (y + x) % 2, x / max(1, side - 1)
    extremes = np.where(y < half, np.where(x < half, 0.0, 1.0), np.where(x < half, checkered, ramp)).astype(np.float32)
    return {
        "photograph": np.ascontiguousarray(photograph),
        "extremes": np.broadcast_to(extremes, photograph.shape).copy(),
    }
