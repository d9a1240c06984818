"""Gray and 16-bit training end to end: folder, every loss, model file, and the core that runs the file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.training.made import features_file  # noqa: E402
from upres.images.io import Picture, read_picture, write_picture  # noqa: E402
from upres.images.resize import imresize  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.data.images import read_levels  # noqa: E402
from upres.training.loop import train  # noqa: E402
from upres.training.monitoring.validation import enlarge  # noqa: E402
from upres.training.networks.compact import Compact  # noqa: E402
from upres.training.plan import PretrainedFiles, RunPlan  # noqa: E402
from upres.weights.read import read_weights  # noqa: E402

CONFIG = TrainConfig(
    recipe="gray", scale=2, width=4, depth=1, batch=2, patch_px=16, hr_scales=(1.0,), steps=2, warmup_steps=0,
    validate_every=2, checkpoint_every=2, convolutions="torch", threads=1,
)  # fmt: skip


def gray_folder(folder: Path, depth: int, count: int = 4) -> Path:
    folder.mkdir()
    for i in range(count):
        image = imresize(np.random.default_rng(i).random((12, 14, 1)).astype(np.float32), size=(72, 84))
        write_picture(Picture(np.clip(image, 0.0, 1.0), depth=depth), folder / f"{i}.png")
    return folder


@pytest.mark.slow
def test_a_gray_16_bit_run_makes_a_network_that_the_core_runs(
    tmp_path: Path, upres: Callable[..., tuple[str, str]]
) -> None:
    said: list[str] = []
    folder = gray_folder(tmp_path / "pictures", 16)
    model = train(RunPlan(CONFIG, folder, tmp_path / "run"), say=said.append)
    assert any("3 training pictures, gray, 16 bit" in words for words in said)
    state = read_weights(model)
    assert state["body.0.weight"].shape == (4, 1, 3, 3) and state["body.4.weight"].shape == (4, 4, 3, 3)
    row = json.loads((tmp_path / "run" / "validation.jsonl").read_text().splitlines()[-1])
    assert row["psnr_y"] == row["psnr_rgb"] > 5 and len(set(row["color_shift_255"])) == 1
    assert len(list((tmp_path / "run" / "crops").iterdir())) == 1
    upres("upscale", folder / "0.png", "-o", tmp_path / "large.png", "-n", model)
    large = read_picture(tmp_path / "large.png")
    assert (large.pixels.shape, large.depth) == ((144, 168, 1), 16)
    net = Compact(width=4, depth=1, scale=2, channels=1)
    net.load_plain({name: torch.from_numpy(array) for name, array in state.items()})
    expected = enlarge(net, read_levels(folder / "0.png"))
    np.testing.assert_allclose(large.pixels, expected / 65535.0, atol=2e-4)
    assert np.unique(expected % 257).size > 200  # finer than 8 bits


@pytest.mark.parametrize("kind", ["vgg", "unet", "patch"])
def test_every_loss_and_discriminator_takes_gray(kind: str, tmp_path: Path, unplotted: None) -> None:
    folder = gray_folder(tmp_path / "pictures", 8)
    features = features_file(tmp_path / "features.safetensors")
    config = dataclasses.replace(
        CONFIG, gan_weight=0.1, feature_weight=1.0, features="vgg19-conv3_1", feature_layers="conv3_1:0.1",
        artefact_weight=1.0, frequency_weight=0.1, consistency_weight=0.1, lattice_weight=0.1, discriminator_width=2,
        color_augment=1.0,
    )  # fmt: skip
    told: dict[str, float] = {}
    train(
        RunPlan(
            dataclasses.replace(config, discriminator=kind),
            folder,
            tmp_path / "run",
            sources=PretrainedFiles(features=features),
        ),
        report=lambda progress: told.update(progress.losses),
    )
    assert told.keys() >= {
        "pixel",
        "features",
        "artefact",
        "frequency",
        "consistency",
        "lattice",
        "gan",
        "discriminator",
    }
    assert all(np.isfinite(value) for value in told.values())
    assert all(told[name] > 0 for name in ("pixel", "features", "frequency", "consistency"))
