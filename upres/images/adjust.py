"""Levels as the file means them, where the decoder takes them for something else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.images.facts import Facts
from upres.images.icc_matrix import Levels

_BLACK, _WHITE = 16.0 / 255.0, 235.0 / 255.0  # luma of studio range (ITU-R BT.601), of full scale
# JFIF 1.02, as TIFF 6.0 with its default coefficients and full range: R, G, B from Y, Cb - 1/2, Cr - 1/2.
_YCBCR = np.array([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])
_ROWS = 256
Samples = Levels | NDArray[np.float32]


def adjusted(levels: Levels, facts: Facts) -> Levels:
    """Levels h w c as the file means them: one channel of gray, full range, RGB of YCbCr."""
    if facts.gray and levels.shape[2] >= 3:
        alpha = levels[:, :, 3:]
        levels = np.concatenate((levels[:, :, :1], alpha), axis=2) if alpha.shape[2] else levels[:, :, :1]
    if not facts.studio_gray and not facts.ycbcr:
        return levels
    result = levels.copy()
    for top in range(0, len(levels), _ROWS):  # in strips, to bound memory
        rows = slice(top, top + _ROWS)
        if facts.studio_gray:
            full = (_scaled(levels[rows, :, :1]) - _BLACK) / (_WHITE - _BLACK)
            result[rows, :, :1] = _levels(full, levels)
        else:
            ycc = _scaled(levels[rows, :, :3])
            middle = np.ceil(np.iinfo(levels.dtype).max / 2) / np.iinfo(levels.dtype).max
            ycc[:, :, 1:] -= middle
            result[rows, :, :3] = _levels(ycc @ _YCBCR.T, levels)
    return result


def _scaled(levels: Levels) -> NDArray[np.float64]:
    return levels.astype(np.float64) / np.iinfo(levels.dtype).max


def _levels(values: NDArray[np.float64], like: Levels) -> Levels:
    return np.rint(np.clip(values, 0.0, 1.0) * np.iinfo(like.dtype).max).astype(like.dtype)


def upright_view(levels: Samples, turn: int) -> Samples:
    """An upright view of h w c. EXIF orientation (CIPA DC-008, tag 274): 5 to 8 transpose, then flip."""
    if turn >= 5:
        levels = levels.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        levels = levels[::-1]
    if turn in (2, 3, 6, 7):
        levels = levels[:, ::-1]
    return levels


def floats_of(levels: Samples) -> NDArray[np.float32]:
    """Levels scaled to [0, 1] as float32, floats unchanged; contiguous."""
    if levels.dtype == np.float32:
        return np.ascontiguousarray(levels, np.float32)
    top = np.float32(255 if levels.dtype == np.uint8 else 65535)
    return np.divide(levels, top, out=np.empty(levels.shape, np.float32), dtype=np.float32, casting="unsafe")
