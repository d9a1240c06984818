"""What an earlier version left unfinished is finished by this one, as that version would have done it."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import REPOSITORY
from upres.batch.journal import NAME
from upres.images.io import Picture, write_picture

LEFT = REPOSITORY / "tests" / "data" / "39c1a38"


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_bytes(tmp_path: Path, unplotted: None) -> None:
    """Every tensor and fact of the old checkpoint is what today's code would have saved, so the steps that follow are
    the same.
    """
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from tests.training.made import draw_photographs
    from upres.training.checkpoint import latest_checkpoint, save_checkpoint
    from upres.training.config import TrainConfig
    from upres.training.loop import train
    from upres.training.plan import RunPlan

    stored = json.loads((LEFT / "run" / "config.json").read_text())
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}
    config = TrainConfig(**values | {"channels": 0, "bits": 0, "discriminator_clip_norm": math.inf})
    assert stored.keys() <= {field.name for field in dataclasses.fields(TrainConfig)}
    photographs = draw_photographs(tmp_path / "photographs")
    shutil.copytree(LEFT / "run", tmp_path / "old")
    before = latest_checkpoint(tmp_path / "old" / "checkpoints")
    assert before is not None and before.step == 6
    shutil.copytree(LEFT / "run", tmp_path / "saved again")
    save_checkpoint(tmp_path / "saved again" / "checkpoints", before, keep=1)

    ends = []
    for run in ("old", "saved again"):
        train(RunPlan(config, photographs, tmp_path / run), resume=True)
        end = latest_checkpoint(tmp_path / run / "checkpoints")
        assert end is not None and end.step == 8
        assert end.facts.keys() - before.facts.keys() == {"micro", "teacher"}  # which earlier versions did not have
        assert end.tensors.keys() == before.tensors.keys()
        ends.append({name: array.tobytes() for name, array in end.tensors.items()})
    assert ends[0] == ends[1]
    steps = [json.loads(line)["step"] for line in (tmp_path / "old" / "validation.jsonl").read_text().splitlines()]
    assert steps == [4, 8]


def test_a_folder_job_goes_on_with_what_is_finished(tmp_path: Path, upres: Callable[..., tuple[str, str]]) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(2):
        levels = np.random.default_rng(i).integers(0, 256, (8, 9, 3), dtype=np.uint8)
        write_picture(Picture(levels.astype(np.float32) / np.float32(255)), pictures / f"{i}.png")
    command = ("upscale", pictures, "-n", "compact-x2", "--tta", "--blend", "0.8")
    upres(*command, "-o", tmp_path / "undisturbed")
    shutil.copytree(LEFT / "job", tmp_path / "job")
    _, refused = upres("upscale", pictures, "-n", "compact-x2", "--tta", "-o", tmp_path / "job", code=2)
    assert "an unfinished job with other settings (--blend: 0.8 before, not set now)" in refused

    upres(*command, "-o", tmp_path / "job")
    assert sorted(path.name for path in (tmp_path / "job").iterdir()) == [NAME, "0.png", "1.png"]
    assert (tmp_path / "job" / "0.png").read_bytes() == (LEFT / "job" / "0.png").read_bytes()
    assert (tmp_path / "job" / "1.png").read_bytes() == (tmp_path / "undisturbed" / "1.png").read_bytes()
