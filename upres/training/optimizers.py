"""The optimizers of both networks. Their state is tensors alone, so that a checkpoint holds all of it."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from upres.training.config import TrainConfig

ADAN_BETAS = (0.98, 0.92, 0.99)  # 1 - beta of the paper, as its program writes them


def build_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig, rate: float) -> torch.optim.Optimizer:
    """The optimizer that `config` names.

    adam: Kingma and Ba, ICLR 2015, algorithm 1. adamw: with decoupled weight decay (Loshchilov and Hutter, ICLR 2019,
    algorithm 2). adan: `Adan`, with its own betas. schedulefree: `ScheduleFree`.
    """
    if config.optimizer == "schedulefree":
        return ScheduleFree(parameters, rate, config.betas, config.weight_decay)
    if config.optimizer == "adan":
        return Adan(parameters, rate, config.weight_decay)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters, lr=rate, betas=config.betas, weight_decay=config.weight_decay, fused=config.fused
        )
    return torch.optim.Adam(parameters, lr=rate, betas=config.betas, fused=config.fused)


class Adan(torch.optim.Optimizer):
    """Adaptive Nesterov momentum (Xie et al., "Adan", arXiv:2208.06677, algorithm 1), without its restarts.

    With b = ADAN_BETAS and d = g - the gradient before (0 in the first step):

        m <- b1 m + (1 - b1) g,    v <- b2 v + (1 - b2) d,    n <- b3 n + (1 - b3) (g + b2 d)^2
        theta <- (theta - rate (m' + b2 v') / (sqrt(n') + epsilon)) / (1 + rate decay)

    where ' divides by 1 - b^step, as the authors' program does and Adam before it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float = 0.0) -> None:
        super().__init__(parameters, {"lr": rate, "weight_decay": decay, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            for key in ("exp_avg", "exp_avg_diff", "exp_avg_sq"):
                state[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["gradient"] = gradient.clone(memory_format=torch.preserve_format)
        first, second, third = ADAN_BETAS
        state["step"] += 1
        step = float(state["step"])
        change = gradient - state["gradient"]
        state["exp_avg"].lerp_(gradient, 1.0 - first)
        state["exp_avg_diff"].lerp_(change, 1.0 - second)
        state["exp_avg_sq"].lerp_((gradient + second * change).square(), 1.0 - third)
        root = (state["exp_avg_sq"] / (1.0 - third**step)).sqrt_().add_(group["eps"])
        ahead = state["exp_avg"] / (1.0 - first**step) + state["exp_avg_diff"] * (second / (1.0 - second**step))
        parameter.addcdiv_(ahead, root, value=-group["lr"])
        parameter.div_(1.0 + group["lr"] * group["weight_decay"])
        state["gradient"].copy_(gradient)


class ScheduleFree(torch.optim.Optimizer):
    """AdamW that averages in place of a schedule (Defazio et al., "The Road Less Scheduled", arXiv:2405.15682,
    algorithm 1).

    Gradients are taken at y, which the parameters hold; z is the fast sequence, x the average that is to be used:

        v <- b2 v + (1 - b2) g^2,    r = rate sqrt(1 - b2^step),    z <- z - r (g / (sqrt(v) + epsilon) + decay y)
        x <- (1 - c) x + c z  with  c = r^2 / (the sum of r^2 so far),    y <- (1 - b1) z + b1 x

    The warm-up is that of the rate.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float], decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": rate, "betas": betas, "weight_decay": decay, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (first, second) = self.state[parameter], group["betas"]
        if not state:
            state["step"], state["weight"] = torch.zeros(()), torch.zeros((), dtype=torch.float64)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["z"] = parameter.clone(memory_format=torch.preserve_format)
        average = self.average_of(parameter, first)
        state["step"] += 1
        rate = group["lr"] * (1.0 - second ** float(state["step"])) ** 0.5
        state["weight"] += rate * rate
        state["exp_avg_sq"].lerp_(gradient.square(), 1.0 - second)
        state["z"].sub_(parameter, alpha=rate * group["weight_decay"])
        state["z"].addcdiv_(gradient, state["exp_avg_sq"].sqrt().add_(group["eps"]), value=-rate)
        average.lerp_(state["z"], rate * rate / float(state["weight"]) if rate else 0.0)
        parameter.copy_(torch.lerp(state["z"], average, first))

    def average_of(self, parameter: Tensor, first: float | None = None) -> Tensor:
        """x of a parameter, a new tensor; the parameter itself before its first step."""
        state = self.state.get(parameter)
        if not state:
            return parameter.detach().clone(memory_format=torch.preserve_format)
        beta = self.defaults["betas"][0] if first is None else first
        return torch.lerp(state["z"], parameter.detach(), 1.0 / beta)  # y = (1 - b1) z + b1 x, solved for x
