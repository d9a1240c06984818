"""Exponential moving average of everything that a network computes with: parameters, and statistics of batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def start_ema(net: nn.Module) -> dict[str, Tensor]:
    """A detached copy of all parameters and float buffers by name."""
    return {name: tensor.detach().clone() for name, tensor in averaged_tensors(net).items()}


def averaged_tensors(net: nn.Module) -> dict[str, Tensor]:
    """What is averaged. Running statistics belong to the weights of their time: averaged gains need averaged statistics."""
    return {name: tensor for name, tensor in (*net.named_parameters(), *net.named_buffers()) if tensor.is_floating_point()}


@torch.no_grad()
def update_ema(ema: Mapping[str, Tensor], net: nn.Module, decay: float, step: int) -> None:
    """ema <- decay * ema + (1 - decay) * tensor, after the optimizer's step.

    The decay is warmed up as min(decay, (1 + step) / (10 + step)), so that the random start is forgotten (as TensorFlow's
    ExponentialMovingAverage does with `num_updates`).
    """
    weight = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
    names = list(ema)
    tensors = averaged_tensors(net)
    torch._foreach_lerp_([ema[n] for n in names], [tensors[n] for n in names], weight)  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]
