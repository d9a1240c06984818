"""What a network is worth, measured on whole pictures: the figures of papers, and those that tell when a GAN cheats.

PSNR falls in adversarial training and must. So three more questions are asked of every picture: does it, reduced again, give the LR picture
back (`lr_psnr`); is it as bright and as coloured as the truth (`color_shift_255`); does it carry the pattern of the enlarging layers
(`lattice_*`, `contrast_*`). Everything is measured on the 8-bit picture, clipped and rounded, as it would be saved.
"""

from __future__ import annotations

# pyright: reportUnknownMemberType=false
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upres.errors import DataError, InputError
from upres.metrics import psnr, ssim
from upres.niqe import NiqeParameters
from upres.niqe import niqe as measure_niqe
from upres.picture import quantise
from upres.resize import imresize
from upres.spectrum import lattice_contrast, lattice_ratio
from upres.training.data import SMALLEST_PX, Pair
from upres.training.ranks import Ranks

Levels = NDArray[np.uint8]
Judge = Callable[[Tensor, Tensor], Tensor]  # sr, hr `b 3 h w` in [0,1] -> a distance for each of the `b` pictures


@dataclass(frozen=True)
class Quality:
    """One picture, or the mean over several. A PSNR is infinite for equal pictures.

    psnr_y, psnr_rgb, ssim_y: on Y or RGB, a border as wide as the scale left out. lr_psnr: RGB PSNR of the MATLAB-equal, 8-bit reduction of
    SR against LR, no border left out. color_shift_255: mean(SR) - mean(HR) of R, G and B in 8-bit levels. lattice_2, lattice_4: energy at
    periods of 2 and of 4 pixels (these include those of 2) over that of HR; contrast_2, contrast_4: the same energy over its neighbours in
    the spectrum of SR (upres/spectrum.py). niqe, feature_distance: None where not measured.
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
        words = f"PSNR (Y) {self.psnr_y:.2f} dB, LR-PSNR {self.lr_psnr:.1f} dB, colour shift {shift} of 255"
        words += f", NIQE {self.niqe:.2f}" if self.niqe is not None else ""
        return words + (f", feature distance {self.feature_distance:.4f}" if self.feature_distance is not None else "")


def validate(
    net: nn.Module,
    pairs: Sequence[Pair],
    *,
    scale: int,
    judge: Judge | None = None,
    niqe: NiqeParameters | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008  # frozen
) -> Quality | None:
    """The mean quality of `net` over `pairs`, the same on every rank and for every number of ranks; None where there are no pairs.

    Rank r enlarges the pictures r, r + count, ... `net` runs in eval mode without gradients and is left in the modes that it had. Raises
    `DataError` for pictures that are too small, and `InputError` where `net` does not enlarge by `scale`.
    """
    if not pairs:
        return None
    check_pairs(pairs)
    own = [
        asdict(measure(enlarge(net, pair.lr), pair, scale=scale, judge=judge, niqe=niqe, device=device_of(net)))
        for pair in pairs[ranks.rank :: ranks.count]
    ]
    shares = ranks.gather(own)
    return mean_quality([_quality(shares[i % ranks.count][i // ranks.count]) for i in range(len(pairs))])


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Raises `DataError` naming the first picture that is too small to be measured; to be asked before the first step."""
    for pair in pairs:
        height, width = pair.hr.shape[:2]
        if min(height, width) < SMALLEST_PX:
            raise DataError(
                f"the validation picture {pair.name} is {height}x{width} (h x w), expected at least {SMALLEST_PX}x{SMALLEST_PX} pixels: "
                "leave it out or give a larger one"
            )


def measure(
    sr: Levels,
    pair: Pair,
    *,
    scale: int,
    judge: Judge | None = None,
    niqe: NiqeParameters | None = None,
    device: torch.device = torch.device("cpu"),  # noqa: B008  # a constant
) -> Quality:
    """The quality of one enlarged picture `sr`, uint8 as `pair.hr` is. Raises `InputError` where the sizes differ.

    NIQE is that of the whole `sr`, and None where it is not defined: for a picture with fewer than two 96x96 blocks that are not flat.
    """
    hr, lr = pair.hr, pair.lr
    figures: dict[str, float] = {
        "psnr_y": psnr(sr, hr, border=scale, luma=True),
        "psnr_rgb": psnr(sr, hr, border=scale, luma=False),
        "ssim_y": ssim(sr, hr, border=scale, luma=True),
        "lr_psnr": psnr(imresize(sr, size=(lr.shape[0], lr.shape[1])), lr, border=0, luma=False),
        **{f"lattice_{period}": lattice_ratio(sr, hr, period) for period in (2, 4)},
        **{f"contrast_{period}": lattice_contrast(sr, period) for period in (2, 4)},
    }
    red, green, blue = (float(sr[..., i].mean(dtype=np.float64) - hr[..., i].mean(dtype=np.float64)) for i in range(3))
    distance = None
    if judge is not None:
        with torch.no_grad():
            distance = float(judge(to_tensor(sr[None], device), to_tensor(hr[None], device)).item())
    return Quality(**figures, color_shift_255=(red, green, blue), niqe=_niqe(sr, niqe), feature_distance=distance)


def _niqe(sr: Levels, parameters: NiqeParameters | None) -> float | None:
    if parameters is None:
        return None
    try:
        return measure_niqe(sr, parameters)
    except InputError:  # too small or too flat: NIQE has no value there
        return None


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """The arithmetic mean of every field, of dB values too, as papers take it: sum / count. Raises ValueError for none.

    Where a field is None for some pictures it is the mean over the others, and None where it is None for all.
    """
    if not qualities:
        raise ValueError("the mean of no qualities is not defined")
    columns: dict[str, list[Any]] = {field.name: [getattr(quality, field.name) for quality in qualities] for field in fields(Quality)}
    shifts = columns.pop("color_shift_255")
    means: dict[str, Any] = {name: _mean([value for value in values if value is not None]) for name, values in columns.items()}
    red, green, blue = (math.fsum(shift[channel] for shift in shifts) / len(shifts) for channel in range(3))
    return Quality(color_shift_255=(red, green, blue), **means)


def _mean(values: list[float]) -> float | None:
    """Summed without rounding between, so that the order of pictures cannot matter."""
    if not values:
        return None
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else sum(values) / len(values)


def _quality(row: dict[str, Any]) -> Quality:
    """Back from what travelled between ranks, where a tuple became a list."""
    red, green, blue = row["color_shift_255"]
    return Quality(color_shift_255=(red, green, blue), **{name: value for name, value in row.items() if name != "color_shift_255"})


def enlarge(net: nn.Module, lr: Levels) -> Levels:
    """One whole picture through `net` as it would be saved: uint8 `h w 3` -> uint8 `h*scale w*scale 3`, clipped and rounded.

    Raises `OutputError` where the network gives values that are not numbers.
    """
    with evaluating(net), torch.no_grad():
        sr = net(to_tensor(lr[None], device_of(net)))
    pixels: NDArray[np.float32] = sr[0].permute(1, 2, 0).to("cpu", torch.float32).numpy()
    return quantise(pixels, 8)


@contextmanager
def evaluating(net: nn.Module) -> Generator[None]:
    """Eval mode inside; afterwards every module has the mode that it had, also where some were frozen in eval."""
    before = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def device_of(net: nn.Module) -> torch.device:
    return next(net.parameters()).device


def to_tensor(batch: Levels, device: torch.device) -> Tensor:
    """uint8 `b h w c` -> float32 `b c h w` in [0,1] on `device`, stored channels last."""
    return torch.from_numpy(batch).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255.0
