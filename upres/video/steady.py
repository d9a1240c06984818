"""Less flicker: each result is mixed with the one before, moved along the motion of the source, where the source has
not changed.

The motion is that of `flicker`: of blocks of 16 px, whole pixels. The weight of the frame before is
strength * max(0, 1 - d / (4 / 255)), d being the mean absolute difference of luma along the motion in 5 x 5 source
pixels: where anything changed, or nothing was found again, the new result stays as it is. It is the recursive temporal
filter of Dubois and Sabri ("Noise reduction in image sequences using motion-compensated temporal filtering", IEEE
Trans. Comm. 1984), steered by the source instead of the result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upres.images.resize import imresize
from upres.video.enlarger import Result
from upres.video.flicker import BLOCK_PX, FOUND, find_motion, luma

Array = NDArray[np.float32]
_AROUND_PX = 2  # on each side: 5 x 5


class Steady:
    """Calms results in order. strength: In [0, 1); the largest weight of the frame before."""

    def __init__(self, strength: float) -> None:
        self._strength = np.float32(strength)
        self._before: tuple[Array, Array] | None = None  # luma of the source, and the result

    def begin(self) -> None:
        """Forget the frame before: a segment begins, which a resumed run must make alike."""
        self._before = None

    def __call__(self, lr: Array, result: Result) -> Result:
        """The next result, for source pixels `lr` h w c. Transparency is left as it is."""
        light = luma(lr)
        sr = result.pixels
        if self._before is not None and self._before[0].shape == light.shape and self._before[1].shape == sr.shape:
            moved_light, moved = _moved(*self._before, light)
            weight = self._weight(light, moved_light, (sr.shape[0], sr.shape[1]))
            sr = sr + weight[:, :, None] * (moved - sr)
        self._before = light, sr
        return Result(sr, result.alpha)

    def _weight(self, light: Array, moved: Array, size: tuple[int, int]) -> Array:
        difference = _mean_around(np.abs(light - moved))
        weight = self._strength * np.clip(np.float32(1.0) - difference / np.float32(FOUND), 0.0, 1.0)
        return np.clip(imresize(weight.astype(np.float32), size=size), 0.0, self._strength)


def _moved(light: Array, sr: Array, now: Array) -> tuple[Array, Array]:
    """The frame before, moved to where it is now: luma of the source (9 where a block was not found), and result."""
    height, width = now.shape
    down, across = sr.shape[0] / height, sr.shape[1] / width
    moved_light, moved = np.full(now.shape, 9.0, np.float32), sr.copy()
    for (top, left), (dy, dx) in find_motion(light, now).items():
        # blocks in the last row and column take the rest of the picture along, as far as it lies inside
        bottom = height if top + 2 * BLOCK_PX > height else top + BLOCK_PX
        right = width if left + 2 * BLOCK_PX > width else left + BLOCK_PX
        bottom, right = min(bottom, height - max(0, dy)), min(right, width - max(0, dx))
        moved_light[top:bottom, left:right] = light[top + dy : bottom + dy, left + dx : right + dx]
        rows = round(top * down), round(bottom * down)
        columns = round(left * across), round(right * across)
        y, x = round(dy * down), round(dx * across)
        part = sr[rows[0] + y : rows[1] + y, columns[0] + x : columns[1] + x]
        moved[rows[0] : rows[0] + part.shape[0], columns[0] : columns[0] + part.shape[1]] = part
    return moved_light, moved


def _mean_around(values: Array) -> Array:
    """The mean of 5 x 5, edges repeated."""
    side = 2 * _AROUND_PX + 1
    for axis in (0, 1):
        padded = np.pad(values, [(_AROUND_PX, _AROUND_PX) if one == axis else (0, 0) for one in (0, 1)], mode="edge")
        length = values.shape[axis]
        parts = [np.take(padded, range(start, start + length), axis=axis) for start in range(side)]
        values = np.sum(parts, axis=0, dtype=np.float32) / np.float32(side)
    return values
