"""Training does what it is for: stage one beats bicubic, stage two moves the weights that it should. Made pictures,
under a minute.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import draw_photographs, features_file  # noqa: E402
from upres.images.resize import imresize  # noqa: E402
from upres.metrics.psnr_ssim import psnr  # noqa: E402
from upres.training.checkpoint import latest_checkpoint  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.data.images import find_pictures, make_pair, read_rgb  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.plan import PretrainedFiles, RunPlan  # noqa: E402
from upres.training.run import Progress  # noqa: E402
from upres.weights.read import read_weights  # noqa: E402

STAGE_ONE = TrainConfig(
    recipe="test", scale=2, width=16, depth=3, steps=400, batch=4, patch_px=16, warmup_steps=20, hr_scales=(1.0,),
    learning_rate=3e-3, ema_decay=0.98, validate_every=200, checkpoint_every=200, threads=1,
)  # fmt: skip
STAGE_TWO = dataclasses.replace(
    STAGE_ONE, steps=12, learning_rate=1e-3, gan_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1",
    discriminator="unet", discriminator_width=8, consistency_weight=1.0, validate_every=6, checkpoint_every=6,
    warmup_steps=0,
)  # fmt: skip


@pytest.mark.slow
def test_two_stages(tmp_path: Path, unplotted: None) -> None:
    pictures, unseen = draw_photographs(tmp_path / "pictures", 8), tmp_path / "unseen"
    unseen.mkdir()
    for number in (6, 7):
        (pictures / f"{number}.png").rename(unseen / f"{number}.png")
    pairs = [make_pair(path.name, read_rgb(path), 2) for path in find_pictures(unseen)]
    bicubic = np.mean([psnr(imresize(pair.lr, 2.0), pair.hr, border=2, luma=True) for pair in pairs])
    told: list[Progress] = []
    parent = train(RunPlan(STAGE_ONE, pictures, tmp_path / "psnr", validation=unseen), report=told.append)
    assert told[-1].quality is not None and told[-1].quality.psnr_y > bicubic + 1.0

    sources = PretrainedFiles(init=parent, features=features_file(tmp_path / "features.safetensors"))
    told.clear()
    result = train(
        RunPlan(STAGE_TWO, pictures, tmp_path / "gan", validation=unseen, sources=sources), report=told.append
    )
    before, after = read_weights(parent), read_weights(result)
    assert all(not np.array_equal(array, after[name]) for name, array in before.items())
    saved = [latest_checkpoint(tmp_path / run / "checkpoints") for run in ("psnr", "gan")]
    assert saved[0] is not None and saved[1] is not None
    assert not any(name.startswith("discriminator") for name in saved[0].tensors)
    assert any(name.startswith("discriminator/") for name in saved[1].tensors)
    # the feature network is frozen: nothing of it is state
    assert not any("features" in name for name in saved[1].tensors)
    assert told[0].losses["discriminator"] > told[-1].losses["discriminator"]
    assert all({"pixel", "features", "gan", "consistency", "D(real)", "D(fake)"} <= p.losses.keys() for p in told)
