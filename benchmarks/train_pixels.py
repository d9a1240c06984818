"""LR megapixels a second in stage one: the recipe `compact-x4` as it stands, its network by today's means, and the
residual network.

Samples are drawn beside the step as in a run, from pictures in memory. A round is some steps of each side, one side
after the other, and the ratio is taken within it.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from upres.images.resize import imresize
from upres.training.batches import draw_of
from upres.training.config import TrainConfig
from upres.training.data.images import TrainingSet, draw_weights, make_pair
from upres.training.distributed.ranks import Ranks
from upres.training.loop import pixel_step
from upres.training.pretrained import choose_convolutions, choose_precision
from upres.training.recipes import resolve_recipe
from upres.training.run import Run
from upres.training.state import average, build_state
from upres.training.timing import Stopwatch
from upres.training.winograd.conv import winograd

_PICTURES, _SIDE_PX = 40, 512
_MEANS = ("batch=64", "in_memory=true", "precision=auto")
SIDES = {
    "compact-x4, the recipe": resolve_recipe("compact-x4"),
    "compact-x4's network, batch 64, in memory, precision auto": resolve_recipe("compact-x4", _MEANS),
    "residual 32 x 12, the same": resolve_recipe("compact-x4", (*_MEANS, "network=residual")),
}


class _Side:
    """One configuration with its networks and the batch of its next step under way."""

    def __init__(self, config: TrainConfig, pictures: TrainingSet, pool: ThreadPoolExecutor) -> None:
        ranks = Ranks()
        config = dataclasses.replace(config, channels=3, bits=8, precision=choose_precision(config, ranks.device))
        self.run, self.state, self.step = (
            Run(config, Path(), ranks, Stopwatch(ranks.device)),
            build_state(config, ranks),
            0,
        )
        self.fast, self.pool = choose_convolutions(config, ranks, print), pool
        self.draw = draw_of(config, pictures, None, ranks)

    def megapixels_s(self, seconds: float) -> float:
        """Steps for so long, at least two."""
        config = self.run.config
        pending, begun, steps = self.pool.submit(self.draw, self.step), time.perf_counter(), 0
        with winograd(self.fast):
            while steps < 2 or time.perf_counter() - begun < seconds:
                lr, _, target = pending.result()
                pending = self.pool.submit(self.draw, self.step + 1)
                pixel_step(self.run, self.state, lr, target, self.step)
                average(self.state, config, self.step, self.run.ranks)
                self.step, steps = self.step + 1, steps + 1
        spent = time.perf_counter() - begun
        pending.result()
        return steps * config.batch * config.patch_px**2 / spent / 1e6


def pixels(rounds: int, seconds: float = 5.0) -> list[str]:
    """The table."""
    rng = np.random.default_rng(0)
    coarse = (rng.integers(0, 256, (_SIDE_PX // 8, _SIDE_PX // 8, 3), dtype=np.uint8) for _ in range(_PICTURES))
    pairs = [make_pair(str(i), imresize(image, size=(_SIDE_PX, _SIDE_PX)), 4) for i, image in enumerate(coarse)]
    pictures = TrainingSet(pairs, draw_weights(pairs), [], [], "")
    speeds: dict[str, list[float]] = {name: [] for name in SIDES}
    with ThreadPoolExecutor(1) as pool:
        sides = {name: _Side(config, pictures, pool) for name, config in SIDES.items()}
        for number in range(rounds + 1):
            for name, side in sides.items():
                speed = side.megapixels_s(seconds if number else 0.0)  # the first round is not counted
                if number:
                    speeds[name].append(speed)
    first = next(iter(speeds.values()))
    lines = [
        "| stage one | precision | LR megapixels/s, median (least to most) | times the recipe (each round) |",
        "|---|---|---|---|",
    ]
    for name, values in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(values, first, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        listed = f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
        lines.append(
            f"| {name} | {sides[name].run.config.precision} | {listed} | {statistics.median(ratios):.2f} ({each}) |"
        )
    return [*lines, ""]
