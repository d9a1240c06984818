"""Losses on structure, detail and color, as pure functions. `sr`, `hr`: `b c h w` in [0,1]; each returns a scalar."""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import torch
from torch import Tensor
from torch.nn import functional as F

from upres.errors import UsageError
from upres.metrics.ms_ssim import WEIGHTS

_WINDOW_PX, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2
_LEAST = 1e-4  # of a mean whose power is taken: its slope at 0 is infinite
_COLOR_CELLS = 4  # LR pixels a side of the areas whose colors are compared


def ms_ssim_loss(sr: Tensor, hr: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang, Simoncelli and Bovik, Asilomar 2003), the mean over samples and channels.

    The window and constants of `upres.metrics.ms_ssim`; as a loss: Zhao et al., "Loss functions for image restoration
    with neural networks", IEEE TCI 2017. A patch below 176 px has fewer scales, whose exponents are rescaled to the
    sum of all. Raises `UsageError` below 11 px.
    """
    x, y = (t.to(torch.promote_types(t.dtype, torch.float32)) for t in (sr, hr))
    side = min(x.shape[2:])
    count = next((n for n in range(len(WEIGHTS), 0, -1) if side // 2 ** (n - 1) >= _WINDOW_PX), 0)
    if not count:
        raise UsageError(f"`structure_weight` needs patches of at least {_WINDOW_PX} HR pixels, got {side}")
    weights = WEIGHTS[:count]
    product = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(weights):
        luminance, contrast = _terms(x, y)
        mean = (luminance * contrast if scale == count - 1 else contrast).mean((2, 3))
        product = product * mean.clamp(min=_LEAST) ** (weight * sum(WEIGHTS) / sum(weights))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return 1.0 - product.mean()


def _terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The luminance and the contrast-structure term of SSIM at every place where the window fits."""
    line = torch.arange(_WINDOW_PX, dtype=x.dtype, device=x.device) - _WINDOW_PX // 2
    line = torch.exp(-line.square() / (2 * _SIGMA**2))
    line = line / line.sum()
    channels = x.shape[1]

    def blur(z: Tensor) -> Tensor:
        rows = line.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        return F.conv2d(F.conv2d(z, rows, groups=channels), rows.transpose(2, 3), groups=channels)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x.square(), blur(y * y) - mean_y.square()
    both = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return luminance, (2 * both + _C2) / (var_x + var_y + _C2)


def wavelet(sr: Tensor, hr: Tensor, levels: int = 2) -> Tensor:
    """mean |W(sr) - W(hr)| over the detail bands of the undecimated Haar transform, all levels and bands alike.

    Details of several sizes in one loss: Huang et al., "Wavelet-SRNet", ICCV 2017, section 3.2. Undecimated, so that no
    place of the grid is preferred (Nason and Silverman, "The stationary wavelet transform", 1995). At level l the bands
    are differences of neighbors 2^(l-1) pixels apart: along rows, along columns and along both.
    """
    x = sr.to(torch.promote_types(sr.dtype, torch.float32)) - hr.to(torch.promote_types(hr.dtype, torch.float32))
    if min(x.shape[2:]) < 2**levels:
        raise UsageError(f"`wavelet_weight` needs patches of at least {2**levels} HR pixels, got {min(x.shape[2:])}")
    terms: list[Tensor] = []
    for level in range(levels):
        step = 2**level
        up, down = x[:, :, :-step], x[:, :, step:]
        low, high = 0.5 * (up + down), 0.5 * (up - down)
        (low_low, low_high), (high_low, high_high) = (
            (0.5 * (z[..., :-step] + z[..., step:]), 0.5 * (z[..., :-step] - z[..., step:])) for z in (low, high)
        )
        terms += [band.abs().mean() for band in (low_high, high_low, high_high)]
        x = low_low
    return torch.stack(terms).mean()


def color(sr: Tensor, hr: Tensor, scale: int) -> Tensor:
    """mean |blur(sr) - blur(hr)|, means over areas of 4 LR pixels: colors and brightness without texture.

    Ignatov et al., "DSLR-quality photos on mobile devices", ICCV 2017, section 3.1.1, with means in place of a Gaussian
    and L1 in place of the squares. Raises `UsageError` for patches below one area.
    """
    side = _COLOR_CELLS * scale
    if min(sr.shape[2:]) < side:
        raise UsageError(f"`color_weight` needs patches of at least {side} HR pixels, got {min(sr.shape[2:])}")
    return F.avg_pool2d(sr - hr, side, stride=max(1, side // 2)).abs().mean()
