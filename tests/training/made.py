"""Small things that the tests of training share: pictures that a network can learn from, and a feature network with
seeded weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upres.images.io import Picture, write_picture
from upres.weights.read import write_safetensors

if TYPE_CHECKING:
    from upres.training.config import TrainConfig
    from upres.training.run import Run


def draw_photographs(folder: Path, count: int = 6, height: int = 64, width: int = 72) -> Path:
    """Pictures of smooth blobs and hard edges: something that a network can learn to sharpen."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:height, 0:width]
    for i in range(count):
        rng = np.random.default_rng(i)
        image = np.zeros((height, width, 3), np.float32)
        for _ in range(12):
            cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 20)
            image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = rng.random(3)
        write_picture(Picture(image), folder / f"{i}.png")
    return folder


def features_file(path: Path, seed: int = 0) -> Path:
    """A file with the shapes of `vgg19-conv3_1` and seeded weights that keep the size of a signal."""
    rng = np.random.default_rng(seed)
    state: dict[str, np.ndarray] = {}
    for index, given, taken, size in (
        (0, 3, 3, 1),
        (2, 64, 3, 3),
        (5, 64, 64, 3),
        (9, 128, 64, 3),
        (12, 128, 128, 3),
        (16, 256, 128, 3),
    ):
        spread = (2.0 / (taken * size * size)) ** 0.5
        state[f"{index}.weight"] = (rng.standard_normal((given, taken, size, size)) * spread).astype(np.float32)
        state[f"{index}.bias"] = np.zeros(given, np.float32)
    state["0.weight"] = np.eye(3, dtype=np.float32)[:, :, None, None]
    write_safetensors(path, state, {})
    return path


def run_of(config: TrainConfig, folder: Path = Path(), **others: Any) -> Run:
    """A run of this process alone on the CPU, where `others` say nothing else."""
    from upres.training.distributed.ranks import Ranks
    from upres.training.run import Run
    from upres.training.timing import Stopwatch

    ranks = others.pop("ranks", Ranks())
    return Run(config, folder, ranks, Stopwatch(ranks.device), **others)
