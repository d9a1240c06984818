"""Scalars and crops for Weights & Biases (`wandb=PROJECT`, extra `wandb`), beside TensorBoard.

Where and whether anything is sent is wandb's own matter: `WANDB_MODE=offline` keeps it in the run's folder.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingImports=false
# pyright: reportUnknownArgumentType=false
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upres.errors import EngineError
from upres.system.packages import need
from upres.training.config import TrainConfig, plain_config
from upres.training.run import Run


def check_installed(config: TrainConfig) -> None:
    """Raises `EngineError` if wandb is asked for and not there, before anything is read."""
    if config.wandb:
        need(f"`wandb={config.wandb}`", "wandb")


class WandbLog:
    """The run in the project that its configuration names.

    A run keeps its identity when it is resumed: it is that of its folder. Raises `EngineError` for what wandb refuses,
    such as a missing login.
    """

    def __init__(self, run: Run) -> None:
        import wandb

        place = str(run.folder.absolute())
        settings = wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True)
        try:
            self._run: Any = wandb.init(
                project=run.config.wandb,
                name=run.folder.name,
                id=sha256(place.encode(errors="surrogateescape")).hexdigest()[:16],
                resume="allow",
                dir=place,
                config=plain_config(run.config),
                settings=settings,
            )
        except wandb.Error as error:
            raise EngineError(
                f"Weights & Biases refuses the run: {error}; log in by `wandb login`, set WANDB_MODE=offline, or leave "
                "`wandb` out"
            ) from error
        # Its own count of steps only rises; a run that goes back to a checkpoint falls.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")
        self._image = wandb.Image

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by name, such as "loss/pixel", at a step of training."""
        self._run.log({**values, "step": step})

    def image(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Log a picture, `h w 3`."""
        self._run.log({name: self._image(pixels), "step": step})

    def close(self) -> None:
        """Wait until all is written, or sent."""
        self._run.finish()
