"""Losses as pure functions of `sr` and `hr`, both `b c h w` float32; each returns a scalar mean."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def l1(sr: Tensor, hr: Tensor) -> Tensor:
    """mean |sr - hr|."""
    return (sr - hr).abs().mean()


def mse(sr: Tensor, hr: Tensor) -> Tensor:
    """mean (sr - hr)^2: the quantity that PSNR is the logarithm of."""
    return (sr - hr).square().mean()


def charbonnier(sr: Tensor, hr: Tensor, epsilon: float = 1e-3) -> Tensor:
    """mean sqrt((sr - hr)^2 + epsilon^2) (Charbonnier et al., ICIP 1994; epsilon as in Lai et al., LapSRN, CVPR 2017)."""
    return torch.sqrt((sr - hr).square() + epsilon**2).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1, "mse": mse, "charbonnier": charbonnier}
