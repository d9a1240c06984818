"""A run that two processes saved goes on with one, and the other way round: the same training up to rounding."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.forked import run_ranks_of
from tests.training.made import draw_photographs, features_file
from upres.training.checkpoint import latest_checkpoint
from upres.training.config_changes import change_config
from upres.training.data.roots import Root
from upres.training.loop import train
from upres.training.plan import PretrainedFiles, RunPlan
from upres.training.recipes import resolve_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="several processes need Linux or macOS")
SETTINGS = (
    "width=4", "depth=1", "batch=4", "accumulate=2", "patch_px=16", "hr_scales=1", "discriminator_width=2", "judge=",
    "niqe=false", "validate_every=1000", "checkpoint_every=1000", "schedule=constant", "warmup_steps=0",
    "gradient_penalty_weight=0.1", "convolutions=torch", "threads=1",
)  # fmt: skip
SEVERAL = """
import sys
from pathlib import Path
from tests.training.test_loop_elastic import plan
from upres.training.distributed.ranks import join_ranks
from upres.training.loop import train
with join_ranks() as ranks:
    train(plan(Path(sys.argv[1]), {out!r}, {steps}), resume={resume}, ranks=ranks)
"""


def plan(folder: Path, out: str, steps: int) -> RunPlan:
    config = change_config(resolve_recipe("compact-gan-x2"), [*SETTINGS, f"steps={steps}"])
    sources = PretrainedFiles(features=folder / "features.safetensors")
    return RunPlan(config, [Root(folder / "pictures")], folder / out, sources=sources)


def two(folder: Path, out: str, steps: int, resume: bool) -> None:
    ends = run_ranks_of(SEVERAL.format(out=out, steps=steps, resume=resume), 2, folder)
    assert [code for code, _ in ends] == [0, 0], ends


def tensors(folder: Path) -> dict[str, np.ndarray]:
    found = latest_checkpoint(folder / "checkpoints")
    assert found is not None and found.step == 6
    return {name: np.asarray(array, np.float64) for name, array in found.tensors.items()}


@pytest.mark.slow
def test_two_processes_go_on_as_one_and_one_as_two(tmp_path: Path) -> None:
    draw_photographs(tmp_path / "pictures")
    features_file(tmp_path / "features.safetensors")
    train(plan(tmp_path, "alone", 6))

    two(tmp_path, "fewer", 3, resume=False)
    said: list[str] = []
    train(plan(tmp_path, "fewer", 6), resume=True, say=said.append)
    assert any("saved by 2 processes, goes on with 1 in 2 micro-batches each: the same samples" in one for one in said)

    train(plan(tmp_path, "more", 3))
    two(tmp_path, "more", 6, resume=True)

    expected = tensors(tmp_path / "alone")
    for run in ("fewer", "more"):
        found = tensors(tmp_path / run)
        assert found.keys() == expected.keys()
        # the relativistic loss does not depend on the last bias: its gradient is rounding alone, which Adam enlarges
        weights = [
            name for name in found if name.startswith(("net/", "ema/", "discriminator/")) if "last.bias" not in name
        ]
        apart = max(float(np.abs(found[name] - expected[name]).max()) for name in weights)
        assert apart < 5e-6, (run, apart)  # measured: 8e-7; another batch moves weights by 1e-4 a step
