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
from upres.training.config import TrainConfig
from upres.training.config_changes import check_share
from upres.training.data.images import Pair, TrainingSet, make_pair
from upres.training.distributed.ranks import Ranks
from upres.training.loop import gan_step, pixel_step
from upres.training.losses.feature_files import Features, random_features
from upres.training.losses.measures import unweighted
from upres.training.memory import TRIAL, free_bytes, needed_bytes, noise_batch
from upres.training.pretrained import choose_convolutions, choose_precision, features_layers, load_parent
from upres.training.run import Run
from upres.training.state import build_state
from upres.training.timing import Stopwatch
from upres.training.winograd.conv import winograd

_TIMED_STEPS = 3
_SMALL_ENOUGH_S = 4.0  # whole steps are timed if all of them take no longer


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


def estimate(
    config: TrainConfig,
    ranks: Ranks,
    *,
    processes: int = 1,
    timed: bool = True,
    init: str | Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Estimate:
    """Estimate the cost of `config` on this machine, its batch shared by `processes`; feature networks get random
    weights. `say` receives each line as soon as it is known.

    A long step is timed with a few samples, and its time multiplied. `init`: initial weights, which are tried.

    Raises `UsageError` if the batch cannot be shared evenly, and for `init` what a run would raise.
    """
    check_share(config, processes)
    config = dataclasses.replace(config, precision=choose_precision(config, ranks.device))
    whole, config = config, dataclasses.replace(config, batch=config.batch // processes)
    torch.set_num_threads(max(1, (config.threads or torch.get_num_threads()) // processes))
    state = build_state(config, ranks)
    network = random_features(config.features).to(ranks.device) if config.feature_weight else None
    measure = unweighted(config.feature_distance) if config.feature_distance != "l1" else None
    features = Features(network, features_layers(config, config.features) if network else {}, "random weights", measure)
    counted = {"generator": state.net, "discriminator": state.discriminator, config.features: network}
    parameters = {name: count_parameters(net) for name, net in counted.items() if net is not None}
    parameters["generator as shipped"] = sum(
        t.numel() for t in state.net.merged_state_dict().values() if t.is_floating_point()
    )
    say(f"parameters: {', '.join(f'{name} {count:,}' for name, count in parameters.items())}")
    if init is not None:
        load_parent(init, None, state, lambda: noise_batch(config, ranks, TRIAL)[0], say)
    step = pixel_step if state.discriminator is None else gan_step
    with tempfile.TemporaryDirectory() as folder:
        run = Run(config, Path(folder), ranks, Stopwatch(ranks.device), features)
        needed, free = needed_bytes(run, state), free_bytes(ranks.device)
        say(f"memory: about {words_for_bytes(needed)} per process, {words_for_bytes(free)} available")
        small = dataclasses.replace(run, config=dataclasses.replace(config, accumulate=1))
        with _MacCounter() as counter:
            step(small, state, *noise_batch(config, ranks, TRIAL), 0)
        macs = counter.macs / TRIAL * whole.batch
        samples = f"of {whole.batch} samples, forward and backward"
        say(f"multiply-adds: {macs / 1e9:,.1f} G per step {samples}")
        step_s, samples_s = None, 0.0
        if timed and needed <= free:
            with winograd(choose_convolutions(config, ranks, lambda _: None)):
                step_s, samples_s, how = _time(
                    config,
                    ranks,
                    lambda n: step(small if n == TRIAL else run, state, *noise_batch(config, ranks, n), 0),
                )
            length = f"{words_for_estimate(step_s * config.steps)} for {config.steps:,} steps"
            say(f"time: {step_s:.2f} s per step on this machine{how}, {length}")
            say(f"samples: {samples_s:.2f} s of one core per step, drawn during the previous step")
        elif timed:
            say("time: not measured, since a step does not fit into memory")
    return Estimate(parameters, macs, needed, free, step_s, samples_s)


def _time(config: TrainConfig, ranks: Ranks, step: Callable[[int], object]) -> tuple[float, float, str]:
    """Seconds of a step and of drawing its samples, and how they were measured; `step` runs one of so many samples."""
    draw = _drawing(config, ranks)
    draw(0)  # builds tables and loads libraries, which must not be timed
    samples_s = _seconds(lambda: draw(1))
    few = min(TRIAL, config.batch)
    step(few)  # the same, of torch
    scaled_s = _seconds(lambda: step(few)) / few * config.batch
    if scaled_s * _TIMED_STEPS > _SMALL_ENOUGH_S:
        return max(scaled_s, samples_s), samples_s, f" (from one of {few} samples)"
    with ThreadPoolExecutor(1) as pool:

        def both(number: int) -> None:
            pending = pool.submit(draw, number)
            step(config.batch)
            pending.result()

        return min(_seconds(lambda n=n: both(n)) for n in range(1, _TIMED_STEPS + 1)), samples_s, ""


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


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
