"""Parameters, multiply-adds, memory and time of a run, estimated before step 1; the time from a few real steps on
noise.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import dataclasses
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from upres.degradation.apply import load_recipe
from upres.images.resize import imresize
from upres.system.text import words_for_bytes, words_for_estimate
from upres.training.batches import draw_of
from upres.training.config import TrainConfig, check_share
from upres.training.data.images import Pair, TrainingSet, make_pair
from upres.training.distributed.ranks import Ranks
from upres.training.loop import gan_step, pixel_step
from upres.training.losses.feature_files import Features, random_features
from upres.training.memory import TRIAL, free_bytes, needed_bytes, noise_batch
from upres.training.pretrained import choose_convolutions, choose_precision, features_layers
from upres.training.run import Run
from upres.training.state import build_state
from upres.training.timing import Stopwatch
from upres.training.winograd.conv import winograd

_TIMED_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """The cost of a run.

    parameters: count for each network.
    macs: multiply-adds of one step, over all ranks, forward and backward.
    needed_bytes: memory of one process, on top of what it holds now.
    free_bytes: memory available to it.
    step_s: seconds a step takes while the next samples are drawn; None if not measured.
    samples_s: seconds it takes to draw the samples of a step, on their own.
    """

    parameters: dict[str, int]
    macs: float
    needed_bytes: int
    free_bytes: int
    step_s: float | None
    samples_s: float = 0.0

    def lines(self, config: TrainConfig) -> list[str]:
        """The estimate as text, one fact per line."""
        listed = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        lines = [
            f"parameters: {listed}",
            f"multiply-adds: {self.macs / 1e9:,.1f} G per step of {config.batch} samples, forward and backward",
            f"memory: about {words_for_bytes(self.needed_bytes)} per process, {words_for_bytes(self.free_bytes)} "
            "available",
        ]
        if self.step_s is not None:
            total = self.step_s * config.steps
            lines.append(
                f"time: {self.step_s:.2f} s per step on this machine, {words_for_estimate(total)} for {config.steps:,} "
                "steps"
            )
            lines.append(f"samples: {self.samples_s:.2f} s of one core per step, drawn during the previous step")
        return lines


def estimate(config: TrainConfig, ranks: Ranks, *, processes: int = 1, timed: bool = True) -> Estimate:
    """Estimate the cost of `config` on this machine, its batch shared by `processes`; feature networks get random
    weights.

    Raises `UsageError` if the batch cannot be shared evenly.
    """
    check_share(config, processes)
    config = dataclasses.replace(config, precision=choose_precision(config, ranks.device))
    whole, config = config, dataclasses.replace(config, batch=config.batch // processes)
    torch.set_num_threads(max(1, (config.threads or torch.get_num_threads()) // processes))
    fast = choose_convolutions(config, ranks, lambda _: None)
    state = build_state(config, ranks)
    network = random_features(config.features).to(ranks.device) if config.feature_weight else None
    features = Features(network, features_layers(config, config.features) if network else {}, "random weights")
    counted = {"generator": state.net, "discriminator": state.discriminator, config.features: network}
    parameters = {name: count_parameters(net) for name, net in counted.items() if net is not None}
    parameters["generator as shipped"] = sum(t.numel() for t in state.net.merged_state_dict().values())  # pyright: ignore
    step = pixel_step if state.discriminator is None else gan_step
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder), ranks, Stopwatch(ranks.device), features)
        needed, free = needed_bytes(run, state), free_bytes(ranks.device)
        with _MacCounter() as counter:
            whole_batch = dataclasses.replace(run, config=dataclasses.replace(config, accumulate=1))
            step(whole_batch, state, *noise_batch(config, ranks, TRIAL), 0)
        macs = counter.macs / TRIAL * whole.batch
        step_s, samples_s = None, 0.0
        if timed and needed <= free:
            draw = _drawing(config, ranks)
            draw(0)  # builds tables and loads libraries, which must not be timed
            begun = time.perf_counter()
            draw(1)
            samples_s = time.perf_counter() - begun
            seconds: list[float] = []
            with ThreadPoolExecutor(1) as pool, winograd(fast):
                for number in range(1, _TIMED_STEPS + 1):
                    begun = time.perf_counter()
                    pending = pool.submit(draw, number)
                    step(run, state, *noise_batch(config, ranks, config.batch, number), 0)
                    pending.result()
                    seconds.append(time.perf_counter() - begun)
            step_s = min(seconds)
    return Estimate(parameters, macs, needed, free, step_s, samples_s)


def _drawing(config: TrainConfig, ranks: Ranks) -> Callable[[int], object]:
    """A function that draws samples as the run would, from a synthetic picture."""
    side = config.scale * (config.patch_px + 32)
    coarse = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4, config.channels or 3), dtype=np.uint8)
    hr = imresize(coarse, size=(side, side))
    recipe = load_recipe(config.degradation) if config.degradation else None
    pair = make_pair("made", hr, config.scale) if config.in_memory else Pair("made", hr, None)
    return draw_of(config, TrainingSet([pair], np.ones(1), [], [], ""), recipe, ranks)


class _MacCounter(TorchDispatchMode):
    """Counts multiply-adds with torch's own formulas. (FlopCounterMode cannot see into `autograd.grad`.)"""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.macs += formula(*args, **(kwargs or {}), out_val=result) / 2.0
        return result


def count_parameters(net: nn.Module) -> int:
    """The number of parameters of `net`, trained or frozen."""
    return sum(p.numel() for p in net.parameters())
