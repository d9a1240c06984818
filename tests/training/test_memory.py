"""The memory that a step needs grows with the batch, shrinks with gradient checkpointing, and is measured without
touching the networks.
"""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.made import run_of  # noqa: E402
from tests.training.test_estimate import ALONE, CONFIG  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.memory import needed_bytes  # noqa: E402
from upres.training.state import build_state  # noqa: E402


def test_memory_grows_with_the_batch_and_is_measured_without_touching_the_networks() -> None:
    config = dataclasses.replace(CONFIG, gan_weight=0.1, discriminator="unet", discriminator_width=4, patch_px=32)
    state = build_state(config, ALONE)
    assert state.discriminator is not None
    before = {name: tensor.clone() for name, tensor in state.discriminator.state_dict().items()}
    sizes = [needed_bytes(run_of(dataclasses.replace(config, batch=batch)), state) for batch in (4, 8, 12)]
    assert sizes[2] - sizes[1] == pytest.approx(sizes[1] - sizes[0], abs=2)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.discriminator.state_dict().items())


def test_gradient_checkpointing_needs_less() -> None:
    config = TrainConfig(recipe="test", scale=4, network="rrdb", width=16, depth=4, growth=8, batch=4, patch_px=32)
    sizes = []
    for checkpointing in (False, True):
        config = dataclasses.replace(config, gradient_checkpointing=checkpointing)
        sizes.append(needed_bytes(run_of(config), build_state(config, ALONE)))
    assert sizes[1] - 100 * 2**20 < 0.8 * (sizes[0] - 100 * 2**20)
