"""Pictures in many versions, made without any engine."""

from __future__ import annotations

import numpy as np

from upres.comparison.compare import BICUBIC, HR, LR, ComparedPicture, Version
from upres.evaluation.pictures import Levels


def random_levels(height: int, width: int, seed: int = 0) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def compared(
    height: int = 40, width: int = 60, scale: int = 2, *, hr: bool = True, name: str = "a.png"
) -> ComparedPicture:
    """Two models `one` and `two`, which differ only in a square of 8 x 8 at (20, 30)."""
    lr = random_levels(height // scale, width // scale)
    one = lr.repeat(scale, axis=0).repeat(scale, axis=1)
    two = one.copy()
    two[20:28, 30:38] = 255 - two[20:28, 30:38]
    made = [
        Version(LR, lr),
        Version(BICUBIC, one // 2),
        Version("one", one, 0.25, 30.5, 0.9),
        Version("two", two, 0.5, 29.0, 0.8),
    ]
    truth = [Version(HR, random_levels(height, width, 1))] if hr else []
    return ComparedPicture(name, scale, (*made, *truth))
