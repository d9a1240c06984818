"""The differentiable twin of `upres.images.resize.imresize`: cubic, antialiased, symmetric border, on torch batches.

Resizing is linear, one band matrix per axis, so the gradient is the product with the transposed matrices. The weights
come from `upres.images.resize`: the kernel is defined only there.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from upres.errors import UsageError
from upres.images.resize import contributions


@lru_cache(maxsize=64)
def _band(size_in: int, size_out: int, factor: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The matrix (size_out, size_in) that resizes one axis."""
    indices, weights = contributions(size_in, size_out, factor, "cubic", True)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out)[:, None], indices), weights)
    with torch.inference_mode(False):  # autograd could not use a tensor made in inference mode, and this one is cached
        return torch.from_numpy(matrix).to(device, dtype)


def imresize(x: Tensor, factor: float) -> Tensor:
    """Resize a batch `b c h w` as MATLAB's `imresize` does: -> `b c ceil(h * factor) ceil(w * factor)`, not clipped,
    differentiable.

    float64 is kept, narrower types are computed and returned in float32, also inside autocast. On CUDA
    `torch.set_float32_matmul_precision` applies: TF32 gives three digits. Raises `UsageError` for another number of
    axes, an empty batch, or a factor that is not positive and finite.
    """
    if x.dim() != 4 or 0 in x.shape:
        raise UsageError(f"imresize expects a non-empty batch b c h w, got shape {tuple(x.shape)}")
    if not (math.isfinite(factor) and factor > 0):
        raise UsageError(f"the resize factor must be positive and finite, got {factor}")
    if factor == 1.0:
        return x
    dtype = torch.promote_types(x.dtype, torch.float32)
    # rounded before ceil as in upres.images.resize: size * factor may miss an integer by one rounding error
    rows, columns = (_band(size, math.ceil(round(size * factor, 9)), factor, x.device, dtype) for size in x.shape[2:])
    with torch.autocast(x.device.type, enabled=False):
        return rows @ x.to(dtype) @ columns.T
