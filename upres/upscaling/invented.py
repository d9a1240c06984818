"""How much of a picture its LR does not vouch for.

An LR picture holds nothing above its own band: whatever stands there in SR, a model added, by knowledge or by
invention. The map is |Y(SR) - up(down(Y(SR)))|, down and up being the MATLAB-equal bicubic resize to the size of LR and
back, Y the luma of BT.601: the part of SR that vanishes when it is reduced again (the null space of the downscaling;
Bahat and Michaeli, "Explorable Super Resolution", CVPR 2020, section 3, for the split).

It says where to doubt, not what is wrong: a place can be bright and right. `benchmarks/measure_invented.py` measures
how it goes with the true error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.errors import UsageError
from upres.images.color import BT601
from upres.images.resize import imresize

Levels = NDArray[np.uint8]  # h w 3, or h w 1

BYTES_PER_PIXEL = 48  # of SR, that `draw_map` takes at most
FULL_255 = 16.0  # levels of 255 at which the drawn map is brightest
# Colors of the drawn map, from nothing to FULL_255: black, red, orange, pale yellow.
_COLORS = np.array([[0, 0, 0], [150, 20, 20], [245, 130, 20], [255, 250, 190]], np.float64)
_ROWS = 64  # that are colored at once
# Spearman's rank correlation with the true error, in the median over 40 photographs, by model and what made their LR
# (benchmarks/results/invented_202612.md).
MEASURED = {
    "photo-x4": {"real-esrgan": 0.73, "bsrgan": 0.52, "a clean resize": 0.79},
    "RealESRGAN_x4plus": {"real-esrgan": 0.78, "bsrgan": 0.72, "a clean resize": 0.86},
}


def invented_255(sr: Levels, lr_size: tuple[int, int]) -> NDArray[np.float64]:
    """The luma of SR above the band of LR, per pixel.

    sr: uint8 `h w 3` or `h w 1`.
    lr_size: (h, w) of LR, at most SR's.

    Returns float64 `h w`, levels of 255, 0 or more. Raises `UsageError` for an LR that is larger than SR.
    """
    height, width = sr.shape[:2]
    if not (0 < lr_size[0] <= height and 0 < lr_size[1] <= width):
        raise UsageError(f"LR of {lr_size[1]}x{lr_size[0]} is larger than SR, {width}x{height}, or empty")
    luma = _luma(sr)
    low = imresize(luma[:, :, None], size=lr_size)
    return np.abs(luma - imresize(low, size=(height, width))[:, :, 0])


def draw_map(sr: Levels, lr_size: tuple[int, int]) -> Levels:
    """The map as a picture, uint8 `h w 3`: SR in dark gray, and over it the mean of the map around each place (over 3
    LR pixels each way), black to pale yellow at `FULL_255`.
    """
    values = invented_255(sr, lr_size)
    height, width = values.shape
    # Of each LR pixel the mean over its SR pixels, and of those the mean of 3 x 3.
    local = np.pad(_area_mean(values, lr_size), 1, mode="edge")
    rows, columns = lr_size
    smooth = sum(local[y : y + rows, x : x + columns] for y in range(3) for x in range(3)) / 9.0
    spread = imresize(np.ascontiguousarray(smooth)[:, :, None], size=(height, width))[:, :, 0]
    steps = np.linspace(0.0, 1.0, len(_COLORS))
    drawn = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):  # little memory for large pictures
        part = slice(top, top + _ROWS)
        share = np.clip(spread[part] / FULL_255, 0.0, 1.0)
        colors = np.stack([np.interp(share, steps, _COLORS[:, channel]) for channel in range(3)], axis=2)
        gray = _luma(sr[part]) * 0.35
        mixed = colors + gray[:, :, None] * (1.0 - share[:, :, None])
        drawn[part] = np.rint(np.clip(mixed, 0.0, 255.0))
    return drawn


def measured_range(model: str) -> str:
    """The same in few words, with {} for its name."""
    found = MEASURED.get(model)
    return "{} not measured" if found is None else f"{{}} {min(found.values()):.2f} to {max(found.values()):.2f}"


def measured_words(model: str) -> str:
    """How far the map of `model` can be trusted, for its readers."""
    found = MEASURED.get(model)
    if found is None:
        return f"it says where to doubt; how it goes with the true error was not measured for {model}"
    listed = ", ".join(f"{value:.2f} where LR is by {recipe}" for recipe, value in found.items())
    return f"it says where to doubt; its rank correlation with the true error is {listed}"


def _luma(levels: Levels) -> NDArray[np.float64]:
    values = levels.astype(np.float64)
    return values @ BT601 if levels.shape[2] == 3 else values[:, :, 0]


def _area_mean(values: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The mean over the pixels of each of `size` cells; borders between cells are rounded to whole pixels."""
    for axis, count in enumerate(size):
        edges = np.arange(count + 1) * values.shape[axis] // count
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        shape = (-1, 1) if axis == 0 else (1, -1)
        values = sums / np.diff(edges).reshape(shape)
    return values
