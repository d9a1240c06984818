"""Small things that the tests of the upscaler share: tiny networks whose answer is known, pictures, and runners that
misbehave.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upres.graph.architectures import graph_from_state_dict
from upres.graph.graph import Graph
from upres.graph.nodes import Conv, Resample
from upres.images.io import Picture
from upres.weights.read import write_safetensors

Array = NDArray[np.float32]


def compact_state(
    scale: int = 2, width: int = 4, depth: int = 2, strength: float = 0.1, seed: int = 0
) -> dict[str, Array]:
    """SRVGGNetCompact. With `strength` 0 it is nearest-neighbor enlargement, whatever else happens."""
    rng = np.random.default_rng(seed)
    sizes = [3, *[width] * (depth + 1), 3 * scale * scale]
    state: dict[str, Array] = {}
    for index, (taken, given) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        state[f"body.{2 * index}.weight"] = (
            rng.standard_normal((given, taken, 3, 3)) * (strength if last else 0.3)
        ).astype(np.float32)
        state[f"body.{2 * index}.bias"] = (rng.standard_normal(given) * (0.01 * strength)).astype(np.float32)
        if not last:
            state[f"body.{2 * index + 1}.weight"] = np.full(given, 0.2, np.float32)
    return state


def compact(scale: int = 2, **settings: float) -> Graph:
    return graph_from_state_dict(compact_state(scale, **settings))  # type: ignore[arg-type]


def compact_file(path: Path, scale: int = 2, **settings: float) -> Path:
    write_safetensors(path, compact_state(scale, **settings), {})  # type: ignore[arg-type]
    return path


def aligned_graph() -> Graph:
    """A network of scale 1 whose input must be a multiple of 2 in both directions."""
    weight = np.zeros((12, 12, 3, 3), np.float32)
    weight[np.arange(12), np.arange(12), 1, 1] = 1.0  # the identity
    nodes = [
        Resample("pixel_unshuffle", "down", "input", 2),
        Conv("conv", "down", weight, padding=1),
        Resample("pixel_shuffle", "up", "conv", 2),
    ]
    return Graph.of(nodes, output="up", in_channels=3, family="aligned")


def gray_graph() -> Graph:
    """One channel to one channel, scale 2: nearest neighbor."""
    weight = np.zeros((4, 1, 3, 3), np.float32)
    weight[:, 0, 1, 1] = 1.0
    nodes = [Conv("conv", "input", weight, padding=1), Resample("pixel_shuffle", "up", "conv", 2)]
    return Graph.of(nodes, output="up", in_channels=1, family="gray")


def far_seeing_graph(layers: int = 70) -> Graph:
    """One channel, scale 1, a receptive field of `layers` pixels: only planned with, never run."""
    weight = np.zeros((1, 1, 3, 3), np.float32)
    nodes = [Conv(f"c{i}", "input" if i == 0 else f"c{i - 1}", weight, padding=1) for i in range(layers)]
    return Graph.of(nodes, output=f"c{layers - 1}", in_channels=1, family="far")


def picture(
    pixels: Array, alpha: Array | None = None, *, depth: int = 8, dpi: tuple[float, float] | None = None
) -> Picture:
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return Picture(
        pixels=pixels.astype(np.float32),
        alpha=alpha,
        depth=depth,
        icc=None,
        exif=None,
        xmp=None,
        dpi=dpi,
        format="png",
        notes=(),
    )


def noise(height: int, width: int, channels: int = 3, seed: int = 1) -> Array:
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


class FakeRunner:
    """Nearest-neighbor enlargement without an engine; `spoil` may change an answer, given the number of the call."""

    name = "fake 1"
    device = "cpu"
    precision = "fp32"
    notes = ()
    grid_px = 1
    memory_factor = 1.0

    def __init__(self, scale: int = 2, spoil_call: int = -1, error: Exception | None = None) -> None:
        self.scale, self.spoil_call, self.error = scale, spoil_call, error
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, lr: Array) -> Array:
        self.calls.append(lr.shape)
        answer = lr.repeat(self.scale, axis=2).repeat(self.scale, axis=3)
        if len(self.calls) - 1 == self.spoil_call:
            if self.error is not None:
                raise self.error
            answer[0, 0, 0, 0] = np.nan
        return answer

    def close(self) -> None:
        self.calls.clear()
