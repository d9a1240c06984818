"""How pictures are cut: the options, where crops lie, and how much changes in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upres.errors import UsageError
from upres.training.data.images import Levels, convert


@dataclass(frozen=True)
class Options:
    """How to cut pictures. Sizes are in HR pixels.

    crop_px: side of a crop. step_px: distance between crops. smallest_px: minimum side of a picture. flat_255: crops
    whose mean absolute difference of neighboring luma pixels is below this, in 8-bit levels, are dropped. validation:
    number of validation pictures, or below 1 their share. scales: each picture is cut downscaled by each of these
    factors. channels, depth: of the shards; 0: as the data. shard_mb: maximum size of a shard.
    """

    crop_px: int = 480
    step_px: int = 240
    smallest_px: int = 128
    flat_255: float = 1.0
    validation: float = 5.0
    scales: tuple[float, ...] = (1.0,)
    channels: int = 0
    depth: int = 0
    shard_mb: int = 256


def check_options(options: Options) -> None:
    """Raises `UsageError` for a value out of its range."""
    if (
        options.crop_px < 32
        or not 1 <= options.step_px <= options.crop_px
        or not 16 <= options.smallest_px <= options.crop_px
    ):
        raise UsageError(
            "`crop_px` must be at least 32, `step_px` in [1, crop] and `smallest_px` in [16, crop], got "
            f"{options.crop_px}, "
            f"{options.step_px} and {options.smallest_px}"
        )
    if options.validation < 0 or (options.validation >= 1 and not float(options.validation).is_integer()):
        raise UsageError(f"`validation` must be a number of pictures, or a share below 1, got {options.validation:g}")
    if not options.scales or not all(0.0 < scale <= 1.0 for scale in options.scales):
        raise UsageError(f"`scales` must be in (0, 1], got {', '.join(map(str, options.scales))}")
    if (
        options.channels not in (0, 1, 3)
        or options.depth not in (0, 8, 16)
        or options.flat_255 < 0
        or options.shard_mb < 1
    ):
        raise UsageError("`channels` must be 1 or 3, `depth` 8 or 16, `flat_255` at least 0 and `shard_mb` at least 1")


def places(side: int, crop: int, step: int) -> list[int]:
    """Positions of crops along one side: every `step`, plus one at the border, so that all pixels are covered."""
    if side <= crop:
        return [0]
    begins = list(range(0, side - crop + 1, step))
    return begins if begins[-1] == side - crop else [*begins, side - crop]


def changes_255(band: Levels, lefts: Sequence[int], width: int) -> list[float]:
    """For each part of `band`, `width` wide and starting at one of `lefts`: the mean absolute difference of neighboring
    luma pixels, in 8-bit levels. A clear sky has less than 1, a lawn 10 and more.
    """
    gray = convert(band, 1, 8)[:, :, 0].astype(np.int16)
    down, right = np.abs(np.diff(gray, axis=0)), np.abs(np.diff(gray, axis=1))
    return [
        0.5 * float(down[:, left : left + width].mean() + right[:, left : left + width - 1].mean()) for left in lefts
    ]
