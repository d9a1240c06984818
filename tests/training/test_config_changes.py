"""Settings of a run that cannot work are refused by name, and lists of layers are read."""

from __future__ import annotations

import dataclasses

import pytest

from upres.errors import UsageError
from upres.training.config import TrainConfig
from upres.training.config_changes import check_config, parse_layers


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gan_loss": "relativist"}, "gan_loss must be one of relativistic, .*, did you mean 'relativistic'"),
        ({"discriminator": "resnet"}, "discriminator must be one of"),
        ({"network": "swin"}, "network must be one of compact, .*, got 'swin'"),
        ({"gan_weight": -1.0}, "gan_weight must be a finite number of 0 or more, got -1.0"),
        ({"pixel_weight": 0.0}, "all weights of the generator's loss are 0"),
        ({"network": "rrdb", "scale": 3}, "`scale` of rrdb must be one of"),
        ({"batch": 6, "accumulate": 4}, "`batch` must be a multiple of `accumulate`"),
        ({"milestones": (1.5,)}, r"milestones must be fractions of the steps, in \(0, 1\)"),
        ({"discriminator_learning_rate": 0.0}, "discriminator_learning_rate must be a number between 0 and 1"),
        ({"discriminator_clip_norm": 0.0}, "discriminator_clip_norm must be a number above 0"),
        ({"seed": -1}, "seed must be a whole number of 0 or more"),
        ({"feature_layers": "conv5_4:much"}, "`feature_layers` takes"),
    ],
)
def test_values_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_config(dataclasses.replace(TrainConfig(recipe="test", scale=4), **changes))  # type: ignore[arg-type]


def test_layers() -> None:
    assert parse_layers("conv1_2:0.1,conv5_4") == {"conv1_2": 0.1, "conv5_4": 1.0}
    assert parse_layers("") == {}
