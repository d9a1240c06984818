"""What the comparison of a fine-tuned network with its parent says, by pixels and by a perceptual distance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from tests.training.made import draw_photographs
from upres.errors import ModelError, UsageError
from upres.models.load import load_model
from upres.training.distributed.ranks import Ranks
from upres.training.finetune import config_for, set_aside
from upres.training.finetune_comparison import compare, keep, open_judge, sentence
from upres.training.monitoring.validation import PerceptualMetric
from upres.training.verdict import finding_of
from upres.weights.read import read_weights, write_safetensors


def test_the_parent_is_kept_where_nothing_is_sure(tmp_path: Path) -> None:
    from upres.weights.read import write_safetensors

    model = load_model("compact-x2")
    better = {name: array + np.float32(1) for name, array in model.state_dict().items()}
    (tmp_path / "run").mkdir()
    write_safetensors(tmp_path / "run" / "model.safetensors", better, {})
    for differences, expected in (
        ((0.2, 0.3, 0.25), better),
        ((0.2, -0.3, 0.25), model.state_dict()),
        ((-0.2, -0.3, -0.25), model.state_dict()),
    ):
        kept = read_weights(keep(model, [finding_of(dict(zip("abc", differences, strict=True)))], tmp_path))
        assert all(np.array_equal(kept[name], array) for name, array in expected.items())


def test_a_judge_decides_and_psnr_is_told_beside_it(tmp_path: Path) -> None:
    """The judge of this test takes dark pictures for good: a network that darkens is better by it, worse by PSNR."""
    model = load_model("compact-x2")
    set_aside(draw_photographs(tmp_path / "hr", 7), None, tmp_path, 2, lambda _: None)
    darker = dict(model.state_dict())
    last = [name for name in darker if name.endswith(".bias")][-1]
    darker[last] = darker[last] - np.float32(0.2)
    (tmp_path / "run").mkdir()
    write_safetensors(tmp_path / "run" / "model.safetensors", darker, {})
    judge = PerceptualMetric(lambda sr, hr: sr.mean() + 0.0 * hr.mean(), None, "brightness, sha256 00")
    config = config_for(model, 16)
    found = compare(model, config, tmp_path, Ranks(), judge)
    assert [(one.measure, one.verdict) for one in found] == [("brightness", "helped"), ("", "did not help")]
    words = sentence(found)
    assert words.startswith("fine-tuning helped: brightness -0.") and "; PSNR (Y) -" in words
    assert words.endswith("further from the originals by pixels: look at both")
    keep(model, found, tmp_path)
    report = json.loads((tmp_path / "finetune.json").read_text())
    assert report["judge"] == "brightness" and report["nearer"] > 0.0 > report["psnr_y_db"]
    assert len(report["nearer_each"]) == len(report["differences_db"]) == 3
    assert [one.measure for one in compare(model, config, tmp_path, Ranks())] == [""]


def test_without_a_judge_nothing_is_begun(tmp_path: Path) -> None:
    config = config_for(load_model("compact-gan-x4"), 24, gan=True)
    (tmp_path / "features").mkdir()
    with pytest.raises(ModelError, match=r"validating without a feature distance.*the folder with squeezenet1_1"):
        open_judge(config, tmp_path / "features", Ranks(), print)
    for judge in ("", config.features):
        with pytest.raises(UsageError, match="`judge` must be a feature network other than that of the loss"):
            open_judge(replace(config, judge=judge), None, Ranks(), print)
    assert open_judge(config_for(load_model("compact-x2"), 16), None, Ranks(), print) == PerceptualMetric()
