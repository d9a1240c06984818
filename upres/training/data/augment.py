"""MixUp, CutMix and CutBlur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upres.training.data.images import Levels, reduced

_MIX_ALPHA: Final = 1.2  # MixUp's ratio follows Beta(alpha, alpha) (Yoo et al., CVPR 2020, section 4.1)


@dataclass(frozen=True)
class Sample:
    """lr `p p c` and hr `p*scale p*scale c` as stored; target: what pixel and feature losses compare with, float32;
    None: hr.
    """

    lr: Levels
    hr: Levels
    target: NDArray[np.float32] | None = None


def mixup(a: Sample, b: Sample, rng: np.random.Generator) -> Sample:
    """share * a + (1 - share) * b, of lr, hr and target (Zhang et al., "mixup", ICLR 2018)."""
    share = float(rng.beta(_MIX_ALPHA, _MIX_ALPHA))

    def mix(x: Levels, y: Levels) -> Levels:
        return cast("Levels", np.rint(share * x + (1.0 - share) * y).astype(x.dtype))

    target = None
    if a.target is not None and b.target is not None:
        target = (share * a.target + (1.0 - share) * b.target).astype(np.float32)
    return Sample(mix(a.lr, b.lr), mix(a.hr, b.hr), target)


def _box(size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """A square of LR pixels whose share of the patch is uniform (Yun et al., "CutMix", ICCV 2019, equation 2)."""
    side = int(np.clip(round(size * np.sqrt(rng.random())), 1, size - 1))
    top, left = (int(rng.integers(size - side + 1)) for _ in range(2))
    return slice(top, top + side), slice(left, left + side)


def cutmix(a: Sample, b: Sample, rng: np.random.Generator, scale: int) -> Sample:
    """Paste a square of `b` into `a`, in lr, hr and target alike (Yun et al., "CutMix", ICCV 2019)."""
    rows, columns = _box(a.lr.shape[0], rng)
    large = tuple(slice(s.start * scale, s.stop * scale) for s in (rows, columns))

    def paste(into: Any, other: Any, at: tuple[slice, ...]) -> Any:
        result = into.copy()
        result[at] = other[at]
        return result

    target = None if a.target is None or b.target is None else paste(a.target, b.target, large)
    return Sample(paste(a.lr, b.lr, (rows, columns)), paste(a.hr, b.hr, large), target)


def cutblur(sample: Sample, rng: np.random.Generator, scale: int) -> Sample:
    """Replace a square of lr, or all but one, by the clean downscaled hr, so that the network also learns where to
    restore.

    Yoo et al., "Rethinking Data Augmentation for Image Super-resolution", CVPR 2020, paste at HR size, for networks
    with an upscaled input. Ours take LR, so the clean part is HR downscaled.
    """
    clean = sample.hr if scale == 1 else reduced(sample.hr, size=(sample.lr.shape[0], sample.lr.shape[1]))
    rows, columns = _box(sample.lr.shape[0], rng)
    inside, outside = (clean, sample.lr) if rng.random() < 0.5 else (sample.lr, clean)
    lr = outside.copy()
    lr[rows, columns] = inside[rows, columns]
    return Sample(lr, sample.hr, sample.target)
