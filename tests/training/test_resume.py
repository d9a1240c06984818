"""A run is resumed only with the settings it was started with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from upres.errors import DataError, UsageError
from upres.training.checkpoint import Checkpoint
from upres.training.config import TrainConfig, plain_config
from upres.training.resume import check_same_run, fit_accumulate

GAN = {"gan_weight": 0.1, "discriminator": "unet", "gan_loss": "relativistic"}
CONFIG = TrainConfig(recipe="test", scale=2, channels=3, bits=8)


def facts(config: TrainConfig = CONFIG, **more: Any) -> dict[str, Any]:
    names = ("data", "features", "init", "degradation", "winograd", "guard", "teacher")
    return {"config": plain_config(config) | more, **dict.fromkeys(names, "")}


def test_settings_that_an_older_version_lacked_stood_at_their_defaults() -> None:
    older = facts()
    del older["config"]["reuse"]
    check_same_run(Checkpoint(3, {}, older), facts(), Path("run"))
    with pytest.raises(DataError, match=r"reuse was 1 and is 4"):
        check_same_run(Checkpoint(3, {}, older), facts(dataclasses.replace(CONFIG, reuse=4)), Path("run"))


def test_a_setting_that_only_a_newer_version_has_is_refused_by_name() -> None:
    newer = Checkpoint(3, {}, facts(invented_later=1))
    with pytest.raises(
        DataError, match=r"run was started by a newer version of upres, which had the setting invented_later"
    ):
        check_same_run(newer, facts(), Path("run"))


def test_a_longer_run_is_the_same_run_where_its_past_does_not_change() -> None:
    """Constant rates may go on for longer; a cosine over all steps would have gone down more slowly from the start."""
    constant = dataclasses.replace(CONFIG, schedule="wsd", steps=100, warmup_steps=2, decay_fraction=0.5)
    longer = facts(dataclasses.replace(constant, steps=400, decay_fraction=0.1))
    check_same_run(Checkpoint(50, {}, facts(constant)), longer, Path("run"))
    with pytest.raises(DataError, match=r"decay_fraction was 0\.5 and is 0\.1, steps was 100 and is 400"):
        check_same_run(Checkpoint(52, {}, facts(constant)), longer, Path("run"))
    with pytest.raises(DataError, match=r"steps was 40000 and is 50000.*with `branch=True` a new run goes on"):
        check_same_run(Checkpoint(3, {}, facts()), facts(dataclasses.replace(CONFIG, steps=50_000)), Path("run"))
    with pytest.raises(DataError, match=r"batch was 8 and is 4"):
        other = facts(dataclasses.replace(constant, steps=400, decay_fraction=0.1, batch=4))
        check_same_run(Checkpoint(50, {}, facts(constant)), other, Path("run"))


@pytest.mark.parametrize(
    ("changes", "before", "now", "expected"),
    [
        ({}, 1, 2, 1),
        ({}, 2, 1, 2),
        ({}, 8, 1, 8),
        ({"accumulate": 2}, 1, 2, 1),
        ({"accumulate": 2}, 2, 4, 1),
        ({"accumulate": 4}, 2, 1, 8),
        ({"batch": 12}, 4, 3, 2),
        (GAN, 2, 1, 1),  # the relativistic loss compares with means over the micro-batch
        (GAN | {"accumulate": 2}, 2, 1, 2),
        (GAN | {"gan_loss": "hinge"}, 2, 1, 2),
        (GAN | {"gan_loss": "hinge", "discriminator": "vgg"}, 2, 1, 1),
    ],
)
def test_fewer_processes_take_more_micro_batches_where_samples_do_not_meet(
    changes: dict[str, Any], before: int, now: int, expected: int
) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    fresh, micro = fit_accumulate(config, None, before, pytest.fail)
    assert fresh == config
    saved = facts(config) | {"processes": before, "micro": micro}
    said: list[str] = []
    fitted, most = fit_accumulate(config, Checkpoint(3, {}, saved), now, said.append)
    assert (fitted.accumulate, most) == (expected, micro) and "equal up to rounding, not to the bit" in said[0]
    again = facts(config) | {"processes": now, "micro": most}
    assert fit_accumulate(config, Checkpoint(5, {}, again), now, pytest.fail)[0] == fitted
    back, _ = fit_accumulate(config, Checkpoint(5, {}, again), before, said.append)
    assert back == config  # as if it had never moved


def test_a_number_of_processes_that_does_not_divide_the_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a multiple of `processes`"):
        fit_accumulate(CONFIG, Checkpoint(3, {}, facts() | {"processes": 2}), 3, pytest.fail)


def test_accumulate_may_change_where_samples_do_not_meet() -> None:
    check_same_run(Checkpoint(3, {}, facts()), facts(dataclasses.replace(CONFIG, accumulate=2)), Path("run"))
    gan = dataclasses.replace(CONFIG, gan_weight=0.1)
    with pytest.raises(DataError, match="accumulate was 1 and is 2"):
        check_same_run(Checkpoint(3, {}, facts(gan)), facts(dataclasses.replace(gan, accumulate=2)), Path("run"))
