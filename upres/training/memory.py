"""Checks before step 1 that a batch fits into memory, from what autograd stores for a few samples."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import copy
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from upres.errors import UsageError
from upres.system.memory import available_bytes
from upres.system.text import words_for_bytes
from upres.training.config import TrainConfig
from upres.training.distributed.ranks import Ranks, local_count
from upres.training.losses import formulas
from upres.training.losses.generator_loss import autocast, generator_terms, widened
from upres.training.networks.generators import channels_of
from upres.training.run import Run
from upres.training.run_folder import generator_of
from upres.training.state import TrainState
from upres.training.timing import Stopwatch

TRIAL = 2  # samples: batch statistics need more than one value
# Measured on five recipes (RRDB, compact; every discriminator): gradients in flight and convolution workspaces take 0.4
# of what autograd stores, and torch allocates another 100 MB in its first step.
_WORKSPACE = 1.4
_FIRST_STEP_BYTES = 100 * 2**20


def noise_batch(config: TrainConfig, ranks: Ranks, samples: int, number: int = 0) -> tuple[Tensor, Tensor]:
    """A batch of noise in the shapes of a step, from its own generator."""
    random = generator_of(ranks.device, config.seed, number)
    channels = channels_of(config)
    shapes = [(samples, channels, side, side) for side in (config.patch_px, config.patch_px * config.scale)]
    lr, hr = (torch.rand(shape, generator=random, device=ranks.device) for shape in shapes)
    return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Needs:
    """Bytes one process needs on top of what it holds now: `fixed`, and `sample` for each sample of a micro-batch."""

    fixed: int
    sample: int

    def of(self, samples: int) -> int:
        return self.fixed + self.sample * samples


def needed_bytes(run: Run, state: TrainState) -> int:
    """Memory that a process needs on top of what it holds now, with its share of the batch."""
    return measure_needs(run, state).of(run.config.batch // (run.ranks.count * run.config.accumulate))


def measure_needs(run: Run, state: TrainState) -> Needs:
    """Measure what autograd stores for a few samples.

    Copies of the networks run forward once; the originals stay as they are.
    """
    config, device = run.config, run.ranks.device
    untimed = replace(run, clock=Stopwatch(device))
    kept: dict[int, int] = {}
    net = copy.deepcopy(state.whole_net or state.net)
    trial = TrainState(net, {}, state.optimizer, copy.deepcopy(state.discriminator), None)
    modules = [m for m in (trial.net, trial.discriminator, run.features.network) if m is not None]
    weights = {t.untyped_storage().data_ptr() for m in modules for t in (*m.parameters(), *m.buffers())}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    lr, hr = noise_batch(config, run.ranks, TRIAL)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), autocast(config, lr):
        sr = widened(trial.net(lr))
        alive: list[object] = [sr, *generator_terms(untimed, state, sr, lr, hr, 0).values()]
        if trial.discriminator is not None:
            judged = hr.requires_grad_(config.r1_weight > 0.0)
            # kept alive: no freed address is counted again
            alive += [trial.discriminator(judged), trial.discriminator(sr)]
            if config.r1_weight:
                alive.append(formulas.r1_penalty(cast(formulas.Logits, alive[-2]), judged))
            if config.gradient_penalty_weight:
                random = generator_of(device, config.seed)
                alive.append(formulas.gradient_penalty(trial.discriminator, hr.detach(), sr.detach(), random))
    fixed = sum(4 * t.numel() * 4 for m in (trial.net, trial.discriminator) if m is not None for t in m.parameters())
    return Needs(_FIRST_STEP_BYTES + fixed, int(_WORKSPACE * sum(kept.values()) / TRIAL))


def free_bytes(device: torch.device) -> int:
    """Memory available on `device`."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else available_bytes()


def check_memory(run: Run, state: TrainState) -> None:
    """Raises `UsageError` before step 1 if a batch does not fit, and says what would."""
    config, ranks = run.config, run.ranks
    needs, free = measure_needs(run, state), free_bytes(ranks.device)
    share, processes = config.batch // ranks.count, local_count(ranks) if ranks.device.type == "cpu" else 1
    if processes * needs.of(share // config.accumulate) <= free:
        return
    fits = next(
        (
            n
            for n in range(config.accumulate + 1, share + 1)
            if share % n == 0 and processes * needs.of(share // n) <= free
        ),
        None,
    )
    smaller = "reduce `batch` or `patch_px`"
    remedy = f"`accumulate={fits}` splits the same batch into {fits} micro-batches" if fits else smaller
    each = f" in each of {processes} processes" if processes > 1 else ""
    raise UsageError(
        f"a step of {config.batch} samples needs about {words_for_bytes(needs.of(share // config.accumulate))}{each}, "
        f"{words_for_bytes(free)} are available: {remedy}"
    )
