"""How fast degradations are: samples per second and core of each recipe, and what drawing them costs a training run.

    python benchmarks/bench_degrade.py [--data DIR] [--samples 200] [--steps 60] [--rounds 3] [--write]

First table: one thread, one sample of 256 px HR (and what surrounds it) a time, on the pictures of DIR (default:
examples/). Second: steps per second of the recipe `compact-wild-x4` with degradations drawn on the fly, over the same
run on pairs that were degraded before, in turn, `--rounds` times; a ratio is taken within its round.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `upres train` sets it

import argparse
import dataclasses
import datetime
import importlib.metadata
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from upres.degradation.apply import BUILT_IN, load_recipe
from upres.system.cores import cores
from upres.system.hardware import processor
from upres.training.batches import draw_of
from upres.training.config import TrainConfig
from upres.training.data.images import Pair, find_pictures, read_rgb
from upres.training.data.sampling import draw_sample
from upres.training.distributed.ranks import Ranks
from upres.training.loop import gan_step
from upres.training.losses.feature_files import Features, random_features
from upres.training.pretrained import choose_convolutions, features_layers
from upres.training.recipes import resolve_recipe
from upres.training.run import Run as TrainingRun
from upres.training.state import average, build_state, set_rates
from upres.training.timing import Stopwatch
from upres.training.winograd.conv import winograd

ROOT = Path(__file__).resolve().parent.parent
Draw = Callable[[int], tuple[Tensor, Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Pictures:
    """As much of a training set as drawing needs."""

    pairs: list[Pair]
    weights: np.ndarray


def load(folder: Path, scale: int, smallest: int) -> Pictures:
    pairs: list[Pair] = []
    for path in find_pictures(folder):
        image = read_rgb(path)
        height, width = (side // scale * scale for side in image.shape[:2])
        if min(height, width) >= smallest:
            pairs.append(Pair(path.name, np.ascontiguousarray(image[:height, :width]), None))
    return Pictures(pairs, np.full(len(pairs), 1.0 / len(pairs)))


def samples_per_second(name: str, pictures: Pictures, samples: int) -> list[float]:
    """Milliseconds of each sample of 256 px HR at x4, one thread."""
    config = resolve_recipe("compact-wild-x4", ["patch_px=64", f"degradation={name}"])
    recipe, edges = load_recipe(name), np.cumsum(pictures.weights)
    milliseconds: list[float] = []
    for index in range(samples + 5):
        begun = time.perf_counter()
        draw_sample(config, pictures.pairs, edges, 0, index, recipe)
        milliseconds.append(1e3 * (time.perf_counter() - begun))
    return milliseconds[5:]


class Run:
    """Steps of one training run whose samples `draw` makes, the next batch always being drawn beside the step, as the
    loop does it.
    """

    def __init__(self, config: TrainConfig, draw: Draw) -> None:
        self.config, self.draw, self.ranks = config, draw, Ranks()
        self.state = build_state(config, self.ranks)
        network = random_features(config.features)
        self.features = Features(network, features_layers(config, config.features), "random weights")
        self.clock, self.step = Stopwatch(self.ranks.device), 0
        self.pool = ThreadPoolExecutor(1)
        self.pending = self.pool.submit(draw, 0)

    def seconds(self, steps: int, folder: Path) -> float:
        begun = time.perf_counter()
        for _ in range(steps):
            lr, hr, target = self.pending.result()
            self.step += 1
            self.pending = self.pool.submit(self.draw, self.step)
            set_rates(self.state, self.config, self.step)
            run = TrainingRun(self.config, folder, self.ranks, self.clock, self.features)
            gan_step(run, self.state, lr, hr, self.step, target)
            average(self.state, self.config, self.step, self.ranks)
        return time.perf_counter() - begun


def on_the_fly(config: TrainConfig, pictures: Pictures, steps: int, rounds: int) -> list[str]:
    recipe = load_recipe(config.degradation)
    fly = draw_of(config, pictures, recipe, Ranks())  # type: ignore[arg-type]
    cached = [fly(step) for step in range(20)]
    with winograd(choose_convolutions(config, Ranks(), print)), tempfile.TemporaryDirectory() as folder:
        runs = {"cached pairs": Run(config, lambda step: cached[step % len(cached)]), "on the fly": Run(config, fly)}
        for run in runs.values():
            run.seconds(3, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                seconds[name].append(run.seconds(steps, Path(folder)) / steps)
    ratios = [a / b for a, b in zip(seconds["cached pairs"], seconds["on the fly"], strict=True)]
    lines = [f"| {name} | {1.0 / statistics.median(values):.3f} |" for name, values in seconds.items()]
    listed = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    size = f"batch {config.batch}, {config.patch_px * config.scale} px HR, `{config.degradation}`"
    lines = [f"`{config.recipe}` ({size}), {steps} steps a round", "", "| | steps/s |", "|---|---|", *lines]
    return [*lines, "", f"On the fly over cached: **{statistics.median(ratios):.3f}** ({listed}).", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "examples")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipe", default="compact-wild-x4")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    parser.add_argument("--write", action="store_true", help="keep the tables under benchmarks/results/")
    options = parser.parse_args()
    config = resolve_recipe(options.recipe, ["channels=3", "bits=8", *options.changes])
    pictures = load(options.data, config.scale, 256)
    versions = (
        f"Python {platform.python_version()}, numpy {np.__version__}, torch {importlib.metadata.version('torch')}"
    )
    lines = [f"# Degradations, {datetime.date.today()}", "", f"{processor()} ({platform.machine()}), {versions}.", ""]
    threads = torch.get_num_threads()
    lines += ["| recipe | samples per second and core, median (slowest tenth) |", "|---|---|"]
    for name in BUILT_IN if options.samples else ():
        milliseconds = samples_per_second(name, pictures, options.samples)
        lines.append(
            f"| {name} | {1e3 / statistics.median(milliseconds):.0f} "
            f"({1e3 / float(np.percentile(milliseconds, 90)):.0f}) |"
        )
        print(lines[-1], flush=True)
    torch.set_num_threads(threads)
    if options.rounds:
        lines += ["", *on_the_fly(config, pictures, options.steps, options.rounds)]
    print("\n".join(lines))
    if options.write:
        target = (
            ROOT
            / "benchmarks"
            / "results"
            / f"degrade_{platform.machine()}-{cores()}cores_{datetime.date.today():%Y%m}.md"
        )
        target.write_text("\n".join(lines), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
