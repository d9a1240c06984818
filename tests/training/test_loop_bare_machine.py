"""Training from shards on a machine that has torch, numpy and safetensors, and nothing else of what upres can use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from upres.training.data.shard_writer import ShardWriter

pytest.importorskip("torch")

ABSENT = (
    "pyvips",
    "typer",
    "httpx",
    "rich",
    "matplotlib",
    "tensorboard",
    "scipy",
    "skimage",
    "ncnn",
    "onnxruntime",
    "onnx",
)
PROGRAM = f"""
import sys
for name in {ABSENT}:
    sys.modules[name] = None  # an import of it fails
from pathlib import Path
from upres.training.config import TrainConfig
from upres.training.loop import train
from upres.training.plan import RunPlan
config = TrainConfig(
    recipe="bare", scale=2, width=4, depth=1, batch=2, patch_px=16, steps=2, warmup_steps=0, validate_every=1,
    checkpoint_every=2,
    convolutions="torch", threads=1,
)
print(train(RunPlan(config, Path(sys.argv[1]), Path(sys.argv[2])), say=lambda words: print("SAID", words)))
"""


def make_shards(folder: Path) -> Path:
    folder.mkdir()
    writer = ShardWriter(folder, 3, 8, 1 << 20)
    crops = [
        writer.add(f"{i}.png", np.random.default_rng(i).integers(0, 256, (48, 50, 3), dtype=np.uint8)) for i in range(5)
    ]
    writer.finish(crops[1:], crops[:1], {})
    return folder


@pytest.mark.slow
def test_two_steps_from_shards_and_a_word_on_what_is_not_written(tmp_path: Path) -> None:
    shards, run = make_shards(tmp_path / "shards"), tmp_path / "run"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(shards), str(run)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    written = {
        "best.safetensors",
        "checkpoints",
        "config.json",
        "model.safetensors",
        "models",
        "run.toml",
        "validation.jsonl",
    }
    assert {path.name for path in run.iterdir()} == written
    said = [line for line in result.stdout.splitlines() if line.startswith("SAID")]
    assert (
        sum("no scalars are logged" in line for line in said)
        == sum("no crops and curves are drawn" in line for line in said)
        == 1
    )


def test_the_probe_can_fail() -> None:
    program = PROGRAM.split("from pathlib")[0] + "import pyvips"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "pyvips" in result.stderr
