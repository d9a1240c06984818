"""Validation on whole pictures: the usual measures, and those that show when a GAN cheats.

PSNR must fall in adversarial training, so three more questions are asked: does the downscaled output equal the LR
picture (`lr_psnr`), does it keep brightness and color (`color_shift_255`), does it show the pattern of upsampling
layers (`lattice_*`, `contrast_*`)? Everything is measured on the output as saved, clipped and rounded to 8 or 16 bits;
NIQE, which is defined for 8 bits, on 8.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upres.errors import DataError, InputError
from upres.images.picture import quantize
from upres.images.resize import imresize
from upres.metrics.niqe import NiqeParameters
from upres.metrics.niqe import niqe as measure_niqe
from upres.metrics.psnr_ssim import psnr, ssim
from upres.metrics.spectrum import lattice_contrast, lattice_ratio
from upres.training.data.images import SMALLEST_PX, Levels, Pair, convert
from upres.training.distributed.ranks import Ranks

# sr, hr `b c h w` in [0,1] -> the distance of each of the `b` pictures
PerceptualDistance = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Quality:
    """The quality of one picture, or the mean over several. PSNR is infinite for equal pictures.

    psnr_y, psnr_rgb, ssim_y: on Y or RGB, without a border as wide as the scale; for gray pictures on their own pixels.
    lr_psnr: RGB PSNR of the MATLAB-equal, rounded downscaled SR against LR (`reference`, if LR was degraded), with the
    border. color_shift_255: mean(SR) - mean(HR) of R, G and B in 8-bit levels; three equal values for gray. lattice_2,
    lattice_4: energy at periods of 2 and of 4 pixels (which include those of 2), relative to HR. contrast_2,
    contrast_4: that energy relative to its neighbors in the spectrum of SR (upres/metrics/spectrum.py). niqe,
    feature_distance: None if not measured.
    """

    psnr_y: float
    psnr_rgb: float
    ssim_y: float
    lr_psnr: float
    color_shift_255: tuple[float, float, float]
    lattice_2: float
    lattice_4: float
    contrast_2: float
    contrast_4: float
    niqe: float | None = None
    feature_distance: float | None = None

    def __str__(self) -> str:
        shift = ", ".join(f"{value:+.2f}" for value in self.color_shift_255)
        words = f"PSNR (Y) {self.psnr_y:.2f} dB, LR-PSNR {self.lr_psnr:.1f} dB, color shift {shift} of 255"
        words += f", NIQE {self.niqe:.2f}" if self.niqe is not None else ""
        return words + (f", feature distance {self.feature_distance:.4f}" if self.feature_distance is not None else "")


@dataclass(frozen=True)
class PerceptualMetric:
    """The optional measures: `distance` in a network other than the loss's, NIQE's parameters; None for those not
    measured.
    """

    distance: Callable[[Tensor, Tensor], Tensor] | None = None
    niqe: NiqeParameters | None = None
    name: str = ""


def validate(
    net: nn.Module,
    pairs: Sequence[Pair],
    *,
    scale: int,
    metric: PerceptualMetric = PerceptualMetric(),  # frozen
    ranks: Ranks = Ranks(),  # noqa: B008  # frozen
) -> Quality | None:
    """The mean quality of `net` over `pairs`, the same on every rank and for any number of ranks; None without pairs.

    Rank r processes the pictures r, r + count, ... `net` runs in eval mode without gradients; its modes are restored.
    Raises `DataError` for pictures that are too small, `InputError` if `net` does not enlarge by `scale`.
    """
    if not pairs:
        return None
    check_pairs(pairs)
    own = [
        asdict(measure(enlarge(net, pair.stored_lr), pair, scale=scale, metric=metric, device=device_of(net)))
        for pair in pairs[ranks.rank :: ranks.count]
    ]
    shares = ranks.gather(own)
    return mean_quality([_quality(shares[i % ranks.count][i // ranks.count]) for i in range(len(pairs))])


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Raises `DataError` naming the first picture that is too small to be measured; called before the first step."""
    for pair in pairs:
        height, width = pair.hr.shape[:2]
        if min(height, width) < SMALLEST_PX:
            raise DataError(
                f"the validation picture {pair.name} is {height}x{width} (h x w), expected at least "
                f"{SMALLEST_PX}x{SMALLEST_PX} pixels: "
                "leave it out or use a larger one"
            )


def measure(
    sr: Levels,
    pair: Pair,
    *,
    scale: int,
    metric: PerceptualMetric = PerceptualMetric(),  # frozen
    device: torch.device = torch.device("cpu"),  # noqa: B008  # a constant
) -> Quality:
    """The quality of one output `sr`, of the type and channels of `pair.hr`. Raises `InputError` if the sizes differ.

    NIQE is that of the whole `sr`, None where it is undefined: with fewer than two 96x96 blocks that are not flat.
    """
    hr, lr = pair.hr, pair.stored_lr if pair.reference is None else pair.reference
    color = hr.shape[2] == 3
    small = imresize(cast("NDArray[np.uint8]", sr), size=(lr.shape[0], lr.shape[1]))
    whole, true = _for_spectrum(sr), _for_spectrum(hr)
    figures: dict[str, float] = {
        "psnr_y": psnr(sr, hr, border=scale, luma=color),
        "psnr_rgb": psnr(sr, hr, border=scale, luma=False),
        "ssim_y": ssim(sr, hr, border=scale, luma=color),
        "lr_psnr": psnr(small, lr, border=0, luma=False),
        **{f"lattice_{period}": lattice_ratio(whole, true, period) for period in (2, 4)},
        **{f"contrast_{period}": lattice_contrast(whole, period) for period in (2, 4)},
    }
    unit = 257.0 if hr.dtype == np.uint16 else 1.0  # 16-bit levels per 8-bit level
    shifts = [
        float(sr[..., i].mean(dtype=np.float64) - hr[..., i].mean(dtype=np.float64)) / unit for i in range(hr.shape[2])
    ]
    red, green, blue = shifts if color else shifts * 3
    distance = None
    if metric.distance is not None:
        with torch.no_grad():
            distance = float(metric.distance(to_tensor(sr[None], device), to_tensor(hr[None], device)).item())
    return Quality(
        **figures, color_shift_255=(red, green, blue), niqe=_niqe(sr, metric.niqe), feature_distance=distance
    )


def _for_spectrum(levels: Levels) -> NDArray[Any]:
    """As `upres.metrics.spectrum` expects it: uint8, or float in [0,1], which it does not round."""
    return levels if levels.dtype == np.uint8 else levels / 65535.0


def _niqe(sr: Levels, parameters: NiqeParameters | None) -> float | None:
    if parameters is None:
        return None
    try:
        return measure_niqe(convert(sr, sr.shape[2], 8), parameters)
    except InputError:  # too small or too flat: NIQE is undefined
        return None


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """The arithmetic mean of every field, including those in dB, as in papers. Raises ValueError for an empty sequence.

    None is skipped; the mean is None if all are.
    """
    if not qualities:
        raise ValueError("the mean of no qualities is not defined")
    columns: dict[str, list[Any]] = {
        field.name: [getattr(quality, field.name) for quality in qualities] for field in fields(Quality)
    }
    shifts = columns.pop("color_shift_255")
    means: dict[str, Any] = {
        name: _mean([value for value in values if value is not None]) for name, values in columns.items()
    }
    red, green, blue = (math.fsum(shift[channel] for shift in shifts) / len(shifts) for channel in range(3))
    return Quality(color_shift_255=(red, green, blue), **means)


def _mean(values: list[float]) -> float | None:
    """Summed exactly, so that the order of pictures does not matter."""
    if not values:
        return None
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _quality(row: dict[str, Any]) -> Quality:
    """A `Quality` from JSON, where tuples are lists."""
    red, green, blue = row["color_shift_255"]
    return Quality(
        color_shift_255=(red, green, blue), **{name: value for name, value in row.items() if name != "color_shift_255"}
    )


def enlarge(net: nn.Module, lr: Levels) -> Levels:
    """Run `net` on one whole picture: `h w c` -> `h*scale w*scale c` of the type of `lr`, clipped and rounded as if
    saved.

    Raises `OutputError` if the output is not finite.
    """
    with evaluating(net), torch.no_grad():
        sr = net(to_tensor(lr[None], device_of(net)))
    pixels: NDArray[np.float32] = sr[0].permute(1, 2, 0).to("cpu", torch.float32).numpy()
    return quantize(pixels, 8 * lr.dtype.itemsize)


@contextmanager
def evaluating(net: nn.Module) -> Generator[None]:
    """Eval mode inside; afterwards every module has its previous mode, also where some were frozen in eval."""
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def device_of(net: nn.Module) -> torch.device:
    return next(net.parameters()).device


def to_tensor(batch: Levels | NDArray[np.float32], device: torch.device) -> Tensor:
    """uint8 or uint16 `b h w c`, or float32 in [0,1] -> float32 `b c h w` in [0,1] on `device`, channels last."""
    if batch.dtype == np.float32:
        return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2)
    # torch hardly supports uint16, on some devices not at all
    plain = batch if batch.dtype == np.uint8 else batch.astype(np.int32)
    return torch.from_numpy(plain).to(device).permute(0, 3, 1, 2).to(torch.float32) / (
        255.0 if batch.dtype == np.uint8 else 65535.0
    )
