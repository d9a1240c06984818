"""`upres finetune`: from a folder of pictures to one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import draw_photographs
from upres.models.load import load_model

Command = Callable[..., tuple[str, str]]


@pytest.mark.slow
def test_a_model_is_trained_further_and_compared(
    tmp_path: Path, upres: Command, unplotted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_photographs(tmp_path / "photographs", 7)
    small = ("--set", "batch=2", "--set", "patch_px=12", "--set", "threads=1")
    out, err = upres("finetune", "compact-x2", "--data", "photographs", *small, "--set", "steps=3")
    assert "on 3 pictures set aside, 95 % interval" in out and "4 pictures to train on, 3 set aside" in err
    folder = tmp_path / "finetuned" / "compact-x2"
    report = json.loads((folder / "finetune.json").read_text())
    assert len(report["differences_db"]) == 3 and report["verdict"] in out
    assert load_model(folder / "model.safetensors").scale == 2
    _, err = upres("finetune", "compact-x2", "--data", "photographs", *small)  # again: it is continued, and is done
    assert "all 3 steps are already done" in err


def test_what_would_spoil_a_model_is_refused(tmp_path: Path, upres: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw_photographs(tmp_path / "one", 1)
    _, err = upres("finetune", "compact-gan-x4", "--data", "one", code=3)
    assert "compact-gan-x4 was trained against a discriminator" in err and "so is this (--pixels: on pixels" in err
    _, err = upres("finetune", "compact-x4", "--data", "one", "--adversarial", "--pixels", code=2)
    assert "--adversarial and --pixels exclude each other" in err
    _, err = upres("finetune", "compact-x4", "--data", "one", code=3)
    assert "one holds 1 pictures: fine-tuning needs at least 6" in err
    _, err = upres("finetune", "compact-x4", "--data", "nothere", code=3)
    assert "nothere is not a folder" in err
