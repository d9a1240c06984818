"""Weights & Biases, kept offline: what is in the file that wandb would send."""

from __future__ import annotations

import dataclasses
import json
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import EngineError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.losses.feature_files import Features  # noqa: E402
from upres.training.monitoring.tensorboard import TrainingMonitor  # noqa: E402
from upres.training.monitoring.weights_and_biases import check_installed  # noqa: E402
from upres.training.run import Run  # noqa: E402
from upres.training.timing import Stopwatch  # noqa: E402

CONFIG = TrainConfig(recipe="test", scale=2, wandb="upres-tests")


def test_a_project_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upres.system.packages.has_module", lambda module: False)
    with pytest.raises(EngineError, match=r"`wandb=upres-tests` needs .* pip install 'upres\[wandb\]'"):
        check_installed(CONFIG)
    check_installed(dataclasses.replace(CONFIG, wandb=""))


def records(folder: Path) -> list[Any]:
    """All that wandb wrote: LevelDB's log format behind a header of 7 bytes, messages as wandb itself defines them."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, place, parts, found = path.read_bytes(), 7, b"", list[Any]()
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no room for a header in this block
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


@pytest.mark.extras
@pytest.mark.slow
def test_scalars_and_crops_arrive_with_their_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    ranks = Ranks()
    run = Run(CONFIG, tmp_path, ranks, Stopwatch(ranks.device), Features(None, {}, ""))
    with TrainingMonitor(run, 0) as monitor:
        monitor.step(7, {"pixel": 0.25, "D(real)": 1.5}, 1e-3, {"data": 2.0})
        assert monitor._wandb is not None
        monitor._wandb.image(8, "validation/crops", np.zeros((4, 6, 3), np.uint8))
    deadline = time.monotonic() + 100.0  # its own process writes the file, at times after `finish`
    while "exit" not in [record.WhichOneof("record_type") for record in records(tmp_path)]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    logged = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records(tmp_path)
        if record.WhichOneof("record_type") == "history"
    ]
    scalars: dict[str, Any] = {}
    for values in logged:
        scalars |= {key: value for key, value in values.items() if values["step"] == 7}
    assert scalars["loss/pixel"] == 0.25 and scalars["discriminator/real"] == 1.5
    assert scalars["learning_rate"] == 1e-3 and scalars["milliseconds/data"] == 2.0
    (crop,) = (values for values in logged if values["step"] == 8)
    assert (crop["validation/crops/width"], crop["validation/crops/height"]) == (6, 4)
    (told,) = (record.run for record in records(tmp_path) if record.WhichOneof("record_type") == "run")
    assert told.project == "upres-tests" and told.display_name == tmp_path.name
