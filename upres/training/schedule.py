"""The learning rate as a pure function of the step, so that there is no scheduler whose state could be lost."""

from __future__ import annotations

import math

from upres.training.config import TrainConfig


def schedule_factor(config: TrainConfig, step: int) -> float:
    """What the full rates are multiplied with at update number `step` (counted from 0): linear warm-up, then the schedule.

    cosine: `cycles` equal cycles, each from 1 down to final_learning_rate / learning_rate (Loshchilov and Hutter, SGDR, ICLR 2017,
    equation 5, with restarts at the full rate). multistep: halved at each milestone, as ESRGAN does.
    """
    if config.schedule == "cosine":
        low = config.final_learning_rate / config.learning_rate
        length = config.steps / config.cycles
        phase = math.fmod(step, length) / length
        factor = low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * phase))
    else:
        factor = 0.5 ** sum(step >= fraction * config.steps for fraction in config.milestones)
    return factor * min(1.0, (step + 1) / max(1, config.warmup_steps))


def learning_rate_at(config: TrainConfig, step: int) -> float:
    """The generator's learning rate of update number `step` (counted from 0)."""
    return config.learning_rate * schedule_factor(config, step)
