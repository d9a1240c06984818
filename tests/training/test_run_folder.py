"""A run is resumed only with the settings it was started with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from upres.errors import DataError
from upres.training.checkpoint import Checkpoint
from upres.training.config import TrainConfig, plain_config
from upres.training.run_folder import check_same_run

CONFIG = TrainConfig(recipe="test", scale=2, channels=3, bits=8)


def facts(config: TrainConfig = CONFIG, **more: Any) -> dict[str, Any]:
    names = ("data", "features", "init", "degradation", "processes", "winograd", "guard", "teacher")
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
