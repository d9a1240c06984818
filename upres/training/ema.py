"""Exponential moving average of parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def start_ema(net: nn.Module) -> dict[str, Tensor]:
    """A detached copy of all parameters by name."""
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


@torch.no_grad()
def update_ema(ema: Mapping[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    """ema <- decay * ema + (1 - decay) * parameter, after the optimizer's step.

    The decay is warmed up as min(decay, (1 + step) / (10 + step)), so that the random start is forgotten (as TensorFlow's
    ExponentialMovingAverage does with `num_updates`).
    """
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    names = list(ema)
    parameters = dict(net.named_parameters())
    torch._foreach_lerp_([ema[n] for n in names], [parameters[n] for n in names], weight)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
