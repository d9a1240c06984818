"""The multiply-adds of a plan, on which estimates and progress stand, are those that the engine then computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.tiny import FakeRunner, compact, noise, picture
from upres.graph.graph import Graph
from upres.upscaling.output_size import OutputSize
from upres.upscaling.upscaler import Upscaler

DEEP = {"width": 4, "depth": 100}  # reaches 102 px: its overlap is cut unless `exact`


class Counting(FakeRunner):
    """Of an engine that computes in blocks."""

    grid_px = 12
    read = 0

    def __call__(self, lr: np.ndarray) -> np.ndarray:
        self.read += lr.shape[2] * lr.shape[3]
        return super().__call__(lr)


JOBS: list[tuple[dict[str, Any], tuple[int, int], dict[str, Any]]] = [
    ({}, (40, 50), {}),
    ({}, (1, 1), {}),
    ({}, (400, 300), {"tile_px": 64}),
    ({}, (400, 300), {"tile_px": 1000}),
    ({}, (33, 47), {"tile_px": 5}),
    ({}, (64, 64), {"tile_px": 16, "exact": True}),
    ({}, (120, 500), {"memory_bytes": 40 << 20}),
    ({}, (500, 120), {"memory_bytes": 40 << 20, "wrap": True}),
    ({}, (90, 70), {"tta": True, "tile_px": 40}),
    ({}, (90, 70), {"wrap": True}),
    ({}, (90, 70), {"blend": 0.5, "color_lock": True}),
    (DEEP, (128, 128), {}),
    (DEEP, (128, 128), {"tile_px": 32}),
    (DEEP, (128, 128), {"tile_px": 32, "exact": True}),
    (DEEP, (64, 300), {"tile_px": 64}),
    (DEEP, (300, 300), {"memory_bytes": 30 << 20}),
    (DEEP, (200, 300), {"tile_px": 100, "exact": True, "wrap": True}),
    (DEEP, (30, 20), {"tile_px": 8}),
]


@pytest.mark.parametrize("has_alpha", [False, True], ids=["", "alpha"])
@pytest.mark.parametrize(("network", "size", "options"), JOBS)
def test_a_plan_counts_what_the_engine_computes(
    network: dict[str, Any], size: tuple[int, int], options: dict[str, Any], has_alpha: bool
) -> None:
    graph: Graph = compact(2, **network)
    runner = Counting()
    upscaler = Upscaler(graph, runner=runner, reference=FakeRunner(), **options)
    plan = upscaler.plan(*size, has_alpha=has_alpha)
    alpha = noise(*size, 1)[:, :, 0] if has_alpha and size != (1, 1) else None
    upscaler(picture(noise(*size), alpha))
    if alpha is None and has_alpha:
        return  # an alpha of one value does not run
    assert plan.macs == pytest.approx(runner.read * graph.macs_per_pixel, rel=0.01)


def test_two_passes_are_counted() -> None:
    graph, runner = compact(2), Counting()
    upscaler = Upscaler(graph, runner=runner, reference=FakeRunner(), tile_px=30)
    size = OutputSize(factor=4.0)
    plan = upscaler.plan(50, 60, size=size)
    upscaler(picture(noise(50, 60)), size=size)
    assert plan.macs == pytest.approx(runner.read * graph.macs_per_pixel)
