"""The optimizers of both networks have the figures of the recipe, and follow its schedule."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")

from tests.training.test_loop_gan_step import ALONE  # noqa: E402
from tests.training.test_loop_traps import QUIET  # noqa: E402
from upres.training.recipes import resolve_recipe  # noqa: E402
from upres.training.state import build_state, set_rates  # noqa: E402


def test_both_optimizers_have_the_recipes_figures() -> None:
    """Traps 29 and 30."""
    gan = resolve_recipe("esrgan-x4")
    assert gan.discriminator_learning_rate == gan.learning_rate and gan.discriminator_width == 64
    config = dataclasses.replace(
        QUIET, betas=(0.8, 0.95), learning_rate=3e-4, discriminator_learning_rate=2e-4, milestones=(0.5,)
    )
    state = build_state(config, ALONE)
    for optimizer, rate in ((state.optimizer, 3e-4), (state.discriminator_optimizer, 2e-4)):
        assert type(optimizer) is torch.optim.Adam
        found = {key: optimizer.defaults[key] for key in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
        assert found == {"lr": rate, "betas": (0.8, 0.95), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
        for step, factor in ((24, 1.0), (25, 0.5)):
            set_rates(state, config, step)
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rate * factor)
