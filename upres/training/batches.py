"""The batch of a step, whatever makes it: samples drawn one by one or cut from pairs in memory, and a teacher's word on
what to aim at.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from upres.degradation.apply import Recipe
from upres.training.config import TrainConfig
from upres.training.data.images import TrainingSet
from upres.training.data.memory import PairsInMemory
from upres.training.data.sampling import DegradedRegionCache, Mapper, draw_batch
from upres.training.distributed.ranks import Ranks
from upres.training.monitoring.validation import to_tensor
from upres.training.teacher import Teacher

Draw = Callable[[int], tuple[Tensor, Tensor, Tensor]]


def draw_of(
    config: TrainConfig,
    pictures: TrainingSet,
    recipe: Recipe | None,
    ranks: Ranks,
    mapper: Mapper = map,
    teacher: Teacher | None = None,
) -> Draw:
    """The function that makes this rank's share of the batch of a step, on the ranks' device: lr, hr, and what the
    losses aim at.
    """
    draw = (
        _in_memory(config, pictures, ranks)
        if config.in_memory
        else _one_by_one(config, pictures, recipe, ranks, mapper)
    )
    if teacher is None:
        return draw

    def taught(step: int) -> tuple[Tensor, Tensor, Tensor]:
        lr, hr, target = draw(step)
        return lr, hr, teacher.target(config, step, lr, target)

    return taught


def _in_memory(config: TrainConfig, pictures: TrainingSet, ranks: Ranks) -> Draw:
    held = PairsInMemory(pictures.pairs, pictures.weights, config.scale, ranks.device)

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        lr, hr = held.draw(config, step, ranks.rank, ranks.count)
        return lr, hr, hr

    return draw


def _one_by_one(
    config: TrainConfig, pictures: TrainingSet, recipe: Recipe | None, ranks: Ranks, mapper: Mapper
) -> Draw:
    regions = DegradedRegionCache()

    def draw(step: int) -> tuple[Tensor, Tensor, Tensor]:
        batch = draw_batch(
            config, pictures.pairs, pictures.weights, step, recipe=recipe, rank=ranks.rank, ranks=ranks.count,
            mapper=mapper, regions=regions,
        )  # fmt: skip
        hr = to_tensor(batch.hr, ranks.device)
        return (
            to_tensor(batch.lr, ranks.device),
            hr,
            hr if batch.target is None else to_tensor(batch.target, ranks.device),
        )

    return draw
