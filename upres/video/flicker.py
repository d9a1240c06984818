"""Flicker: how much a result changes from frame to frame where its source, followed along its motion, does not.

For two frames in a row each block of 16 x 16 source pixels is sought in the frame before, within 7 pixels, by the least
mean absolute difference of luma. Blocks that are not found (their difference is more than 4 levels of 255: new content,
cuts) do not count. Where they are, the error along the motion is the mean squared difference of the block and the place
it came from: E = sum M |V_t - warp(V_t-1)|^2 / sum M, as E_warp of Lai et al., "Learning Blind Video Temporal
Consistency" (ECCV 2018), section 4.2, with these blocks as mask M. It is measured on the result, and on the source
enlarged by cubic interpolation; the figure is the square root of their ratio. 1 is as steady as bicubic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from upres.images.color import BT601
from upres.images.resize import imresize

Array = NDArray[np.float32]
BLOCK_PX, REACH_PX = 16, 7
FOUND = 4.0 / 255.0  # mean absolute difference of a block that was found
EVERY = 24  # frames: of each so many, one pair is measured
_MAX_PX = 640 * 360  # of the source that is looked at: its middle, if it is larger
_LUMA = BT601.astype(np.float32)


class Flicker:
    """Collects pairs of frames, and gives the figure of all.

    every: Of so many frames one pair is measured.

    `sums` are squared errors along the motion of result and bicubic, and how many pairs were measured.
    """

    def __init__(self, every: int = EVERY) -> None:
        self._every = every
        self.sums: list[float] = [0.0, 0.0, 0.0]
        self._number = 0
        self._before: tuple[Array, Array] | None = None

    @classmethod
    def of(cls, sums: Sequence[float]) -> Flicker:
        """Go on from these sums."""
        flicker = cls()
        if len(sums) == len(flicker.sums):
            flicker.sums = list(sums)
        return flicker

    @property
    def ratio(self) -> float | None:
        """The figure; None if nothing was measured, or nothing changed even in the source."""
        result, bicubic, _ = self.sums
        return math.sqrt(result / bicubic) if bicubic > 0.0 else None

    @property
    def pairs(self) -> int:
        return round(self.sums[2])

    def begin(self) -> None:
        """Forget the last frame: the next one begins a segment. A run that was resumed so measures the same pairs."""
        self._number, self._before = 0, None

    def add(self, lr: Array, sr: Array) -> None:
        """The next frame: source h w c and result h' w' c."""
        turn = self._number % self._every
        self._number += 1
        if turn > 1:
            self._before = None
            return
        now = _middle(lr, sr)
        if self._before is not None and turn == 1 and now[0].shape == self._before[0].shape:
            errors = pair_errors(*self._before, *now)
            if errors is not None:
                self.sums = [self.sums[0] + errors[0], self.sums[1] + errors[1], self.sums[2] + 1.0]
        self._before = now


def _middle(lr: Array, sr: Array) -> tuple[Array, Array]:
    """Luma of the middle of both, of no more than `_MAX_PX` source pixels."""
    height, width = lr.shape[:2]
    share = min(1.0, math.sqrt(_MAX_PX / (height * width)))
    tall, wide = max(1, int(height * share)), max(1, int(width * share))
    top, left = (height - tall) // 2, (width - wide) // 2
    down, across = sr.shape[0] / height, sr.shape[1] / width
    rows = slice(round(top * down), round((top + tall) * down))
    columns = slice(round(left * across), round((left + wide) * across))
    return luma(lr[top : top + tall, left : left + wide]), luma(sr[rows, columns])


def luma(pixels: Array) -> Array:
    """h w of h w c."""
    return np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels @ _LUMA)


def pair_errors(lr_before: Array, sr_before: Array, lr: Array, sr: Array) -> tuple[float, float] | None:
    """Mean squared errors along the motion, of the result and of bicubic, of two frames of luma h w; None if no block
    was found again.
    """
    motion = find_motion(lr_before, lr)
    if not motion:
        return None
    down, across = sr.shape[0] / lr.shape[0], sr.shape[1] / lr.shape[1]
    smooth, smooth_before = (imresize(one, size=(sr.shape[0], sr.shape[1])) for one in (lr, lr_before))
    total = np.zeros(2)
    for (top, left), (dy, dx) in motion.items():
        place = _box(top, left, down, across, (0, 0))
        came = _box(top, left, down, across, (round(dy * down), round(dx * across)))
        for index, (now, before) in enumerate(((sr, sr_before), (smooth, smooth_before))):
            difference = now[place].astype(np.float64) - before[came]
            total[index] += float(np.mean(difference * difference))
    return float(total[0]) / len(motion), float(total[1]) / len(motion)


def _box(top: int, left: int, down: float, across: float, moved: tuple[int, int]) -> tuple[slice, slice]:
    rows = round(top * down) + moved[0], round((top + BLOCK_PX) * down) + moved[0]
    columns = round(left * across) + moved[1], round((left + BLOCK_PX) * across) + moved[1]
    return slice(*rows), slice(*columns)


def find_motion(before: Array, now: Array) -> dict[tuple[int, int], tuple[int, int]]:
    """For each block of `now` (by its top and left) that is found in `before`: (dy, dx) to the place it came from.

    Both are luma h w of the same size. Of equally good places the nearest is taken.
    """
    height, width = now.shape
    tall, wide = (height // BLOCK_PX) * BLOCK_PX, (width // BLOCK_PX) * BLOCK_PX
    if not tall or not wide:
        return {}
    shape = (tall // BLOCK_PX, BLOCK_PX, wide // BLOCK_PX, BLOCK_PX)
    best = np.full(shape[::2], np.inf, np.float32)
    found = np.zeros((*shape[::2], 2), np.int64)
    longer = np.pad(before, REACH_PX, constant_values=np.float32(np.inf))
    shifts = [(dy, dx) for dy in range(-REACH_PX, REACH_PX + 1) for dx in range(-REACH_PX, REACH_PX + 1)]
    for dy, dx in sorted(shifts, key=lambda one: (one[0] ** 2 + one[1] ** 2, one)):
        moved = longer[REACH_PX + dy : REACH_PX + dy + tall, REACH_PX + dx : REACH_PX + dx + wide]
        cost = np.abs(now[:tall, :wide] - moved).reshape(shape).mean(axis=(1, 3))
        better = cost < best
        best[better], found[better] = cost[better], (dy, dx)
    return {
        (int(row) * BLOCK_PX, int(column) * BLOCK_PX): (int(found[row, column, 0]), int(found[row, column, 1]))
        for row, column in zip(*np.nonzero(best <= FOUND), strict=True)
    }
