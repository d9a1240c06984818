from __future__ import annotations

import dataclasses

import pytest

from upres.training.config import TrainConfig
from upres.training.state import learning_rate_at


def test_learning_rate_schedules() -> None:
    torch = pytest.importorskip("torch")
    config = TrainConfig(
        recipe="test", scale=2, steps=1000, warmup_steps=10, learning_rate=1e-3, final_learning_rate=0.0
    )
    assert learning_rate_at(config, 0) == pytest.approx(1e-4)
    assert learning_rate_at(config, 500) == pytest.approx(5e-4)
    assert learning_rate_at(config, 999) < 1e-8
    # torch's own schedules
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    twin = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000)
    for step in range(400):
        if step >= 10:
            assert learning_rate_at(config, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        twin.step()
    cycles = dataclasses.replace(config, cycles=4, warmup_steps=0, final_learning_rate=1e-5)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    restarts = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=250, eta_min=1e-5)
    for step in range(1000):
        assert learning_rate_at(cycles, step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6), step
        optimizer.step()
        restarts.step()
    steps = dataclasses.replace(config, schedule="multistep", milestones=(0.5, 0.8))
    assert [learning_rate_at(steps, s) for s in (499, 500, 800)] == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_wsd_stands_and_then_decays() -> None:
    """Equation 1 of Haegele et al. with its 1 - sqrt cooldown, from the published numbers of a quarter: 1 - 0.5."""
    config = TrainConfig(
        recipe="test", scale=2, steps=1000, warmup_steps=10, learning_rate=1e-3, final_learning_rate=1e-5,
        schedule="wsd", decay_fraction=0.2,
    )  # fmt: skip
    found = [learning_rate_at(config, step) for step in (0, 9, 500, 800, 850, 999)]
    expected = [1e-4, 1e-3, 1e-3, 1e-3, 1e-5 + 0.99e-3 * 0.5, 1e-5 + 0.99e-3 * (1.0 - (199 / 200) ** 0.5)]
    assert found == pytest.approx(expected, rel=1e-9)
    whole = dataclasses.replace(config, decay_fraction=1.0, warmup_steps=0)
    assert [learning_rate_at(whole, step) for step in (0, 250)] == pytest.approx([1e-3, 1e-5 + 0.99e-3 * 0.5])
    stable = dataclasses.replace(config, decay_fraction=0.0)
    assert learning_rate_at(stable, 999) == 1e-3
