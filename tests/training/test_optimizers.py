"""Optimizers against their formulas in numpy, step by step; their state survives a checkpoint bit for bit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from upres.errors import UsageError  # noqa: E402
from upres.training.config import TrainConfig  # noqa: E402
from upres.training.config_changes import change_config  # noqa: E402
from upres.training.distributed.ranks import Ranks  # noqa: E402
from upres.training.optimizers import ScheduleFree, build_optimizer  # noqa: E402
from upres.training.state import average, build_state, pack, set_rates, unpack  # noqa: E402

CONFIG = TrainConfig(recipe="test", scale=2, width=4, depth=1, betas=(0.9, 0.99))
RATE, DECAY, STEPS = 0.01, 0.1, 12


def adamw(theta: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    m, v = np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        theta = theta - RATE * DECAY * theta
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        theta = theta - RATE * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    return theta


def adan(theta: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Algorithm 1 in the paper's own betas: 0.02, 0.08 and 0.01 weigh what is new."""
    m, v, n = (np.zeros_like(theta) for _ in range(3))
    b1, b2, b3 = 0.02, 0.08, 0.01
    before = gradients[0]
    for t, g in enumerate(gradients, 1):
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * (g - before)
        n = (1 - b3) * n + b3 * (g + (1 - b2) * (g - before)) ** 2
        eta = RATE / (np.sqrt(n / (1 - 0.99**t)) + 1e-8)
        moment = m / (1 - 0.98**t) + 0.92 * v / (1 - 0.92**t)
        theta = (theta - eta * moment) / (1 + DECAY * RATE)
        before = g
    return theta


def schedulefree(theta: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Algorithm 1 with x, y and z each its own array, as the paper has them."""
    x = y = z = theta
    v, total = np.zeros_like(theta), 0.0
    for t, g in enumerate(gradients, 1):
        v = 0.99 * v + 0.01 * g * g
        rate = RATE * np.sqrt(1 - 0.99**t)
        z = z - rate * g / (np.sqrt(v) + 1e-8) - rate * DECAY * y
        total += rate**2
        c = rate**2 / total
        x = (1 - c) * x + c * z
        y = (1 - 0.9) * z + 0.9 * x
    return np.stack([x, y])


def test_schedule_free_has_the_formulas_average() -> None:
    rng = np.random.default_rng(0)
    theta, gradients = rng.normal(size=(3, 4)), rng.normal(size=(STEPS, 3, 4))
    parameter = torch.nn.Parameter(torch.tensor(theta))
    optimizer = ScheduleFree([parameter], RATE, (0.9, 0.99), DECAY)
    np.testing.assert_array_equal(optimizer.average_of(parameter).numpy(), theta)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    found = np.stack([optimizer.average_of(parameter).numpy(), parameter.detach().numpy()])
    np.testing.assert_allclose(found, schedulefree(theta, gradients), rtol=1e-10)


def test_what_ships_is_the_average_of_schedule_free() -> None:
    config = dataclasses.replace(CONFIG, optimizer="schedulefree", schedule="constant", warmup_steps=0)
    state = build_state(config, Ranks())
    for step in range(3):
        set_rates(state, config, step)
        for parameter in state.net.parameters():
            parameter.grad = torch.ones_like(parameter)
        state.optimizer.step()
        average(state, config, step, Ranks())
    assert isinstance(state.optimizer, ScheduleFree)
    for name, parameter in state.net.named_parameters():
        torch.testing.assert_close(state.ema[name], state.optimizer.average_of(parameter))
        assert not torch.equal(state.ema[name], parameter)


@pytest.mark.parametrize(("name", "formula"), [("adamw", adamw), ("adan", adan)])
def test_steps_are_those_of_the_formula(name: str, formula: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    theta, gradients = rng.normal(size=(3, 4)), rng.normal(size=(STEPS, 3, 4))
    parameter = torch.nn.Parameter(torch.tensor(theta))
    config = dataclasses.replace(CONFIG, optimizer=name, weight_decay=DECAY)
    optimizer = build_optimizer([parameter], config, RATE)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(parameter.detach().numpy(), formula(theta, gradients), rtol=1e-10)


@pytest.mark.parametrize("name", ["adam", "adamw", "adan", "schedulefree"])
def test_a_restored_state_goes_on_bit_for_bit(name: str) -> None:
    config = dataclasses.replace(CONFIG, optimizer=name, weight_decay=0.0 if name == "adam" else DECAY)
    states = [build_state(config, Ranks()) for _ in range(2)]

    def steps(state: object, first: int) -> None:
        for number in range(first, first + 3):
            random = torch.Generator().manual_seed(number)
            for parameter in state.net.parameters():  # type: ignore[attr-defined]
                parameter.grad = torch.randn(parameter.shape, generator=random)
            state.optimizer.step()  # type: ignore[attr-defined]

    steps(states[0], 0)
    unpack(pack(states[0]), states[1])
    for state in states:
        steps(state, 3)
    one, two = (pack(state) for state in states)
    assert one.keys() == two.keys() and all(np.array_equal(one[key], two[key]) for key in one)


def test_adam_has_no_weight_decay() -> None:
    with pytest.raises(UsageError, match="`weight_decay` needs optimizer=adamw, adan or schedulefree"):
        change_config(CONFIG, ["weight_decay=0.1"])


def test_schedule_free_has_no_schedule() -> None:
    with pytest.raises(UsageError, match="`optimizer=schedulefree` needs schedule=constant, got cosine"):
        change_config(CONFIG, ["optimizer=schedulefree"])
