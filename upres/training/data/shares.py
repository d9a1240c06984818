"""Which samples of a batch a rank draws."""

from __future__ import annotations

from upres.training.config import TrainConfig


def share_of(config: TrainConfig, rank: int, ranks: int) -> list[int]:
    """Numbers of the samples of `rank`, one micro-batch after the other.

    Micro-batch i of all ranks together consists of consecutive samples, the same however many ranks there are.
    """
    whole = config.batch // config.accumulate
    part = whole // ranks
    return [i * whole + rank * part + k for i in range(config.accumulate) for k in range(part)]
