"""One run on one rank: everything its functions share that does not change during training; what changes is
`TrainState`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from upres.training.config import TrainConfig
from upres.training.data.images import Pair
from upres.training.distributed.ranks import Ranks
from upres.training.losses.feature_files import Features
from upres.training.monitoring.validation import PerceptualMetric, Quality
from upres.training.timing import Stopwatch

Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """Passed to the training steps, validation, the monitor and whatever reads or writes the run's folder.

    config: every setting; `channels` and `bits` are those of the data.
    folder: where checkpoints, curves, crops and models are written.
    ranks: this process among those that train as one.
    clock: times the sections of a step.
    features: the feature network of the loss.
    metric: what validations measure besides PSNR.
    held_out: the validation pairs, degraded if the recipe degrades.
    say: receives messages for the user, on rank 0.
    should_stop: asked after every step whether to save and stop.
    """

    config: TrainConfig
    folder: Path
    ranks: Ranks
    clock: Stopwatch
    features: Features = Features(None, {}, "")  # noqa: RUF009  # frozen
    metric: PerceptualMetric = PerceptualMetric()  # noqa: RUF009  # frozen
    held_out: Sequence[Pair] = ()
    say: Say = lambda _: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Progress:
    """Reported after every step."""

    step: int
    steps: int  # of the whole run
    loss: float
    learning_rate: float  # the generator's
    data_s: float  # waiting for the batch
    step_s: float  # the whole step
    losses: Mapping[str, float]  # the weighted terms
    quality: Quality | None = None  # if the step ended with a validation
